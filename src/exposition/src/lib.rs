//! exposition: first lines follow.
