//! What a command says: kept in a file up to a bound, its tail for the message.

use crate::disk::LOG_BYTES;
use std::{
    fs::File,
    io::{PipeReader, Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// What is kept for a message.
const TAIL_BYTES: usize = 400;
/// A process that has left its group may hold the pipe open for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// The words of a running command.
pub(crate) struct Log {
    tail: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Log {
    /// Begins to listen; what is said goes to the file `path` too, if there is to be one.
    pub(crate) fn listen(mut said: PipeReader, path: Option<PathBuf>) -> Self {
        let tail = Arc::new(Mutex::new(Vec::new()));
        let (over, ended) = mpsc::channel();
        let shared = Arc::clone(&tail);
        thread::spawn(move || {
            let (mut file, mut written) = (None, 0);
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = said.read(&mut buffer) {
                // A log that cannot be written is no reason to fail; a command that says nothing has none.
                if written == 0 {
                    file = path.as_ref().and_then(|path| File::create(path).ok());
                }
                let room = (LOG_BYTES as usize).saturating_sub(written).min(n);
                let _ = file.as_mut().map(|file| file.write_all(&buffer[..room]));
                written += room;
                let mut tail = shared.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend_from_slice(&buffer[..n]);
                let old = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..old);
            }
            drop(over);
        });
        Self { tail, ended }
    }

    /// What was said at last, as `: words`, once the command has ended.
    pub(crate) fn tail(&self) -> String {
        let _ = self.ended.recv_timeout(PATIENCE);
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&tail);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() { words } else { format!(": {words}") }
    }
}
