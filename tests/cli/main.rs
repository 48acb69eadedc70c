//! The command line suite.
