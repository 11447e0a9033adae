//! frames in; a finished, verified film out; never more than a bounded amount of disk.
