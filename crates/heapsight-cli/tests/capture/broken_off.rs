//! Captures that are ended in their middle, by whomever: the program goes on, and nothing is left.
