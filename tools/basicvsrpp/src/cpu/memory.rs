//! What a sequence needs of the host's memory, and what there is.

use std::fs;

/// What a sequence will need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes at the peak.
    pub bytes: u64,
    /// Bytes that may be used; less than `bytes` where the sequence does not fit.
    pub available: u64,
    /// How many frames' spatial features are kept rather than computed twice.
    pub kept: usize,
}

/// The sizes that a plan is made of, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Whatever the sequence is: weights, maps that are worked on, the enlarged frame, working memory of the threads.
    pub fixed: u64,
    /// Of every frame: the frame, its pyramid and its flows.
    pub frame: u64,
    /// A feature that waits for later branches.
    pub feature: u64,
}

impl Plan {
    /// For a sequence of `frames` in `available` bytes.
    pub fn new(sizes: &Sizes, frames: usize, available: u64) -> Self {
        // The first three branches' features of every frame, and what the last branch carries along.
        let needed = sizes.fixed + frames as u64 * sizes.frame + (3 * frames as u64 + 2) * sizes.feature;
        let room = available.saturating_sub(needed) / sizes.feature;
        let kept = frames.min(usize::try_from(room).unwrap_or(frames));
        Self { bytes: needed + kept as u64 * sizes.feature, available, kept }
    }
}

/// Bytes that the system and the control group leave to this process, as far as they can be known.
pub fn available() -> u64 {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
    });
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    system.into_iter().chain(group).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spatial_features_are_kept_as_far_as_there_is_room() {
        let sizes = Sizes { fixed: 1000, frame: 10, feature: 100 };
        let least = 1000 + 50 + 1700;
        assert_eq!(Plan::new(&sizes, 5, u64::MAX), Plan { bytes: least + 500, available: u64::MAX, kept: 5 });
        assert_eq!(
            Plan::new(&sizes, 5, least + 299),
            Plan { bytes: least + 200, available: least + 299, kept: 2 }
        );
        assert_eq!(Plan::new(&sizes, 5, 7), Plan { bytes: least, available: 7, kept: 0 });
    }

    #[test]
    fn there_is_memory() {
        assert!(available() > 1 << 20);
    }
}
