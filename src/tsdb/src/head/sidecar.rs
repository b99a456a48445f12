//! The head as bytes: what a start takes instead of a replay, if the log is still the one it was made of.
//! It is private: Prometheus passes over it. Where it is kept is `db`'s matter. Format:
//! docs/format/sidecar.md.
//!
//! It is made while commits go on. Groups that are written later may hold samples from behind the position
//! in the log that it is made for; the replay from there meets them again and passes over them (I4).
//!
//! What does not belong to slots (exemplars, metadata, deletions) stands in it as records of the log.

mod codec;
mod image;
mod load;
mod store;

pub(super) use self::image::{
    CLOSED_IMAGE_SIZE_BYTES_MIN, ClosedData, ClosedImage, HistogramImage, OpenFloats, OpenImage,
    SlotImage, decode_group, encode_slot,
};
pub(crate) use self::{
    image::{SidecarError, SidecarHeader},
    load::LoadedSidecar,
};
