//! Real binaries in real pipes: what the tests of the whole suite share.
