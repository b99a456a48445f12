//! Names of blocks: ULIDs, that is the time of making and a random part, in 26 characters.

use std::{
    fmt,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use ulid::Ulid;

/// The name of a block. Later ones are greater, but for the clock's moods.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId(Ulid);

impl BlockId {
    /// A new name, made at this wall clock time.
    pub(crate) fn new(now_ms: i64) -> Self {
        let since_epoch = Duration::from_millis(now_ms.max(0).unsigned_abs());
        let time = SystemTime::UNIX_EPOCH.checked_add(since_epoch);
        Self(Ulid::from_datetime(time.unwrap_or(SystemTime::UNIX_EPOCH)))
    }

    /// The name of a block's directory; none if it is no block.
    pub(crate) fn of_dir(dir: &Path) -> Option<Self> {
        dir.file_name()?.to_str()?.parse().ok()
    }

    /// Bits of its random part.
    pub(crate) fn random(self) -> u64 {
        self.0.random() as u64
    }
}

impl FromStr for BlockId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Self)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
