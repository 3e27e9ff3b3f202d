//! Bodies, parameters and headers of `/v1`: what is not understood is rejected by name.
