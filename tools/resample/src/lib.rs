//! separable polyphase scaling, matrix, range, chroma siting and dither with zimg's arithmetic.
