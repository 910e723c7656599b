//! PCI host bridges, bridges and connectors.

#![forbid(unsafe_code)]
