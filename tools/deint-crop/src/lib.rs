//! interlaced anamorphic video in, progressive square-pixel cropped BT.709 video out.
