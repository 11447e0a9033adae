//! The power is cut: what a file system on a disk of its own holds at any moment is copied, mounted, and gone on with.

use crate::{Chance, OPTIONS, is_whole, option, sample, side_by_side, tell, whole};
use pipelines::{clip, shell};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A disk is an image of this many bytes.
const DISK: u64 = 96 << 20;

/// How long after its end a job may still lose something: until the kernel has written everything by itself.
const SETTLED: Duration = Duration::from_secs(30);

/// An ext4 file system in a file, mounted until this is dropped.
struct Disk {
    image: PathBuf,
    folder: PathBuf,
    device: String,
}

impl Disk {
    /// An empty image.
    fn format(image: &Path) {
        File::create(image).unwrap().set_len(DISK).unwrap();
        shell("mkfs.ext4 -q \"$1\"").arg("mkfs").arg(image).run().ok();
    }

    fn mount(image: &Path, folder: &Path) -> Result<Self, String> {
        let mounted = shell("mount -o loop \"$1\" \"$2\" && findmnt -no SOURCE \"$2\"");
        let mounted = mounted.arg("mount").arg(image).arg(folder).run();
        if mounted.code != 0 {
            return Err(mounted.stderr.trim().to_owned());
        }
        let device = mounted.text().trim().trim_start_matches("/dev/").to_owned();
        Ok(Self { image: image.into(), folder: folder.into(), device })
    }

    /// What the disk holds now: copied again until nothing has been written meanwhile, for no disk forgets a write that
    /// another one waited for.
    fn copy(&self, to: &Path) {
        let writes = || {
            let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.device)).unwrap();
            let fields: Vec<u64> = stat.split_whitespace().map(|n| n.parse().unwrap()).collect();
            (fields[4], fields[8])
        };
        for _ in 0..500 {
            let before = writes();
            if before.1 == 0 {
                shell("cp --sparse=always \"$1\" \"$2\"").arg("cp").arg(&self.image).arg(to).run().ok();
                if writes() == before {
                    return;
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the disk is never at rest");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = shell("umount \"$1\" || umount -l \"$1\"").arg("umount").arg(&self.folder).run();
        if !thread::panicking() {
            unmounted.ok();
        }
    }
}

/// One run of an option, and copies of its disk: so many while it runs, so many after its end until `settled`.
fn cuts(name: &str, chance: &mut Chance, during: u64, after: u64, settled: Duration) -> u64 {
    let folder: TempDir = clip::folder();
    let path = |name: &str| folder.path().join(name);
    let (image, mount) = (path("disk"), path("mount"));
    fs::create_dir(&mount).unwrap();
    Disk::format(&image);
    let disk = Disk::mount(&image, &mount).unwrap_or_else(|why| {
        panic!("{why}: power cuts need a loop device, so root; `cargo test -- --skip power` leaves them out, untested")
    });
    let out = mount.join("out");
    let run = || option(folder.path(), name, clip::second(), &out, &[]);
    let took = whole(name).took;
    let mut moments: Vec<Duration> = (0..during).map(|_| chance.within(took)).collect();
    moments.sort();
    let began = Instant::now();
    let running = run().start();
    let mut copies = Vec::new();
    let mut copy = |from: Instant, moment: Duration| {
        thread::sleep(moment.saturating_sub(from.elapsed()));
        let to = path(&format!("copy{}", copies.len()));
        disk.copy(&to);
        copies.push(to);
    };
    moments.into_iter().for_each(|moment| copy(began, moment));
    running.wait().ok();
    let ended = Instant::now();
    // At once after its end the most is at stake.
    let mut moments: Vec<Duration> = (1..after).map(|_| chance.within(settled)).collect();
    moments.push(Duration::ZERO);
    moments.sort();
    moments.into_iter().for_each(|moment| copy(ended, moment));
    is_whole(name, &out);
    drop(disk);
    for copy in &copies {
        let _disk = Disk::mount(copy, &mount).unwrap();
        run().run().ok();
        is_whole(name, &out);
    }
    copies.len() as u64
}

#[test]
fn power_is_cut() {
    let done = AtomicU64::new(0);
    // In full: each of the five options in five runs of eight copies, 200.
    let runs = sample(&["option4", "recommended"][..], &OPTIONS).iter().cycle().take(sample(2, 25));
    let runs: Vec<&str> = runs.copied().collect();
    let (during, after) = sample((1, 1), (5, 3));
    side_by_side(|n| {
        let Some(name) = runs.get(n as usize) else { return false };
        done.fetch_add(cuts(name, &mut Chance(11 + (n << 8)), during, after, SETTLED), Relaxed);
        true
    });
    tell("power_is_cut", done.into_inner());
}
