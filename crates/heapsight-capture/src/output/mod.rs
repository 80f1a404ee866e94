//! Files of captures: names, compression, verification, renaming.
