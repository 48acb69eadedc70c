//! The benchmark package. It holds no benchmark yet.
