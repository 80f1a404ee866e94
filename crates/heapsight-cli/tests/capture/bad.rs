//! What cannot be captured, and what is in the way: the error, its words, and a hint.
