//! What the processes of a command say: kept in one file up to a bound, the tail of each for the message.

use crate::disk::LOG_BYTES;
use cli::locked;
use std::{
    fs::File,
    io::{PipeReader, Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

/// What is kept for a message.
const TAIL_BYTES: usize = 400;
/// A process that has left its group may hold the pipe open for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file of a command, which its processes share.
pub(crate) struct Log {
    path: Option<PathBuf>,
    file: Option<File>,
    written: usize,
}

impl Log {
    /// Nothing is kept without a `path`.
    pub(crate) fn new(path: Option<PathBuf>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { path, file: None, written: 0 }))
    }

    fn keep(&mut self, said: &[u8]) {
        // A log that cannot be written is no reason to fail; a command that says nothing has none.
        if self.written == 0 {
            self.file = self.path.as_ref().and_then(|path| durable::create(path).ok());
        }
        let room = (LOG_BYTES as usize).saturating_sub(self.written).min(said.len());
        let _ = self.file.as_mut().map(|file| file.write_all(&said[..room]));
        self.written += room;
    }
}

/// The words of a running process.
pub(crate) struct Words {
    tail: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Words {
    /// Begins to listen; what is said goes to `log` too.
    pub(crate) fn listen(mut said: PipeReader, log: Arc<Mutex<Log>>) -> Self {
        let tail = Arc::new(Mutex::new(Vec::new()));
        let (over, ended) = mpsc::channel();
        let shared = Arc::clone(&tail);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = said.read(&mut buffer) {
                locked(&log).keep(&buffer[..n]);
                let mut tail = locked(&shared);
                tail.extend_from_slice(&buffer[..n]);
                let old = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..old);
            }
            drop(over);
        });
        Self { tail, ended }
    }

    /// What was said at last, as `: words`, once the process has ended.
    pub(crate) fn tail(&self) -> String {
        let _ = self.ended.recv_timeout(PATIENCE);
        let tail = locked(&self.tail);
        let text = String::from_utf8_lossy(&tail);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() { words } else { format!(": {words}") }
    }
}
