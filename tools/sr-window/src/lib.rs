//! BasicVSR++ in temporal windows: W x H frames in, 4W x 4H frames out.
