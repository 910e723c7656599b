//! `solderless run`.
