//! Runs of device memory with a length: what kernels and copies are given instead of addresses.

use crate::EngineError;
use std::{marker::PhantomData, ops::Range};

/// Bytes of device memory that stay allocated for `'a`. What they hold is up to the kernels.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    address: u64,
    bytes: usize,
    memory: PhantomData<&'a ()>,
}

impl<'a> View<'a> {
    /// A view of `bytes` bytes from `address` on.
    ///
    /// # Safety
    /// They are allocated on the device, and stay so for `'a`.
    pub(super) unsafe fn new(address: u64, bytes: usize) -> Self {
        Self { address, bytes, memory: PhantomData }
    }

    /// How many bytes it has.
    pub fn bytes(self) -> usize {
        self.bytes
    }

    /// The part of it in `range`, in bytes; an error if it is not all inside.
    pub fn slice(self, range: Range<usize>) -> Result<Self, EngineError> {
        if range.start > range.end || range.end > self.bytes {
            let (bytes, Range { start, end }) = (self.bytes, range);
            return Err(EngineError::Failed(format!("device memory: {start} to {end} of {bytes} bytes")));
        }
        Ok(Self { address: self.address + range.start as u64, bytes: range.len(), ..self })
    }

    /// Its address, for a kernel or a copy that takes `count` elements of `size` bytes there, not more and not fewer. An
    /// element begins at a multiple of its size, or of 16 bytes, which is the most that a thread loads at once.
    pub(super) fn address(self, what: &str, count: usize, size: usize) -> Result<u64, EngineError> {
        let fail = |reason| Err(EngineError::Failed(format!("{what}: {reason}")));
        if count.checked_mul(size) != Some(self.bytes) {
            return fail(format!("{} bytes of device memory for {count} elements of {size}", self.bytes));
        }
        let align = size.min(16) as u64;
        if !self.address.is_multiple_of(align) {
            return fail(format!("device memory at {:#x}, not at a multiple of {align}", self.address));
        }
        Ok(self.address)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A view for the checks before a launch.
    pub fn view(address: u64, bytes: usize) -> View<'static> {
        // SAFETY: no kernel and no copy ever sees it: tests without a GPU have neither.
        unsafe { View::new(address, bytes) }
    }

    #[test]
    fn a_part_lies_inside() {
        let all = view(4096, 100);
        let part = all.slice(16..48).unwrap();
        assert_eq!((part.address, part.bytes()), (4112, 32));
        assert_eq!(part.slice(0..32).unwrap().address, 4112);
        assert_eq!(all.slice(100..100).unwrap().bytes(), 0);
        let error = part.slice(1..33).unwrap_err().to_string();
        assert_eq!(error, "device memory: 1 to 33 of 32 bytes");
        #[expect(clippy::reversed_empty_ranges, reason = "it is refused")]
        let backwards = all.slice(9..8);
        assert!(backwards.is_err());
        assert!(all.slice(0..usize::MAX).is_err());
    }

    #[test]
    fn an_address_is_given_for_exactly_what_is_there() {
        let part = view(4096, 64).slice(16..48).unwrap();
        assert_eq!(part.address("out", 2, 16).unwrap(), 4112);
        assert_eq!(part.address("out", 4, 8).unwrap(), 4112);
        for count in [0, 1, 3, usize::MAX] {
            let error = part.address("out", count, 16).unwrap_err().to_string();
            assert_eq!(error, format!("out: 32 bytes of device memory for {count} elements of 16"));
        }
        let odd = view(4096, 64).slice(8..40).unwrap();
        assert!(odd.address("out", 4, 8).is_ok());
        // Elements of 32 bytes are loaded in halves.
        for (count, size) in [(2, 16), (1, 32)] {
            let error = odd.address("out", count, size).unwrap_err().to_string();
            assert_eq!(error, "out: device memory at 0x1008, not at a multiple of 16");
        }
    }
}
