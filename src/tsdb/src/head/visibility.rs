//! Who sees which commit. Commits are numbered in the order of the log; a reader sees those up to the
//! number that was published when it came, whole (I3).
//!
//! Slots store nothing for this. A group remembers, for commits that some reader must not see, how many
//! samples they put at the end of each slot; a reader drops that many. Commits between which no reader
//! stands are remembered as one, so a group holds at most one entry for each reader, and one more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use smallvec::SmallVec;

use crate::lock::lock;

use super::group::GROUP_SLOTS;

const WORDS: usize = GROUP_SLOTS / 64;

/// Snapshots that readers hold, ascending.
pub(super) type Snapshots = SmallVec<[u64; 8]>;

/// The readers there are, and the last commit that is visible.
#[derive(Debug, Default)]
pub(super) struct Readers {
    state: Mutex<ReadersState>,
    has_left: Condvar,
}

#[derive(Debug)]
struct ReadersState {
    published: u64,
    /// How many readers hold each snapshot.
    snapshots: BTreeMap<u64, usize>,
    /// Nobody who comes now reads what is before.
    floor_ms: i64,
    /// How many readers have each floor.
    floors: BTreeMap<i64, usize>,
    /// A new one begins when somebody waits for all readers that are here.
    epoch: u64,
    /// How many readers came in each epoch.
    epochs: BTreeMap<u64, usize>,
    /// How many threads wait until readers have left.
    waiting_count: usize,
}

impl Default for ReadersState {
    fn default() -> Self {
        Self {
            published: 0,
            snapshots: BTreeMap::new(),
            floor_ms: i64::MIN,
            floors: BTreeMap::new(),
            epoch: 0,
            epochs: BTreeMap::new(),
            waiting_count: 0,
        }
    }
}

/// The right to read as of a commit; what later commits wrote stays tellable while it lives.
#[derive(Debug)]
pub(crate) struct ReaderTicket {
    readers: Arc<Readers>,
    pub(super) snapshot: u64,
    /// The reader's samples end here: older ones stand in blocks, and may leave the head any time.
    pub(crate) floor_ms: i64,
    epoch: u64,
}

impl Readers {
    pub(super) fn enter(readers: &Arc<Self>) -> ReaderTicket {
        let mut state = lock(&readers.state);
        let snapshot = state.published;
        *state.snapshots.entry(snapshot).or_default() += 1;
        let floor_ms = state.floor_ms;
        *state.floors.entry(floor_ms).or_default() += 1;
        let epoch = state.epoch;
        *state.epochs.entry(epoch).or_default() += 1;
        ReaderTicket { readers: Arc::clone(readers), snapshot, floor_ms, epoch }
    }

    /// Readers that come from now on see nothing before `floor_ms`; waits until those that came earlier
    /// have left, at most so long. Says whether they have.
    pub(super) fn raise_floor(&self, floor_ms: i64, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        state.floor_ms = state.floor_ms.max(floor_ms);
        self.wait(state, patience, |state| state.floors.range(..floor_ms).next().is_some())
    }

    /// Waits until the readers that are here now have left, at most so long. Says whether they have.
    pub(super) fn wait_for_present(&self, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        state.epoch += 1;
        let next = state.epoch;
        self.wait(state, patience, |state| state.epochs.range(..next).next().is_some())
    }

    fn wait(
        &self,
        mut state: MutexGuard<'_, ReadersState>,
        patience: Duration,
        is_held: impl Fn(&ReadersState) -> bool,
    ) -> bool {
        state.waiting_count += 1;
        let (mut state, _) = self
            .has_left
            .wait_timeout_while(state, patience, |state| is_held(state))
            .expect("no thread panics while it holds this lock");
        state.waiting_count -= 1;
        !is_held(&state)
    }

    /// The snapshots that commit `id` must remain hidden from, now and until it is published.
    pub(super) fn snapshots_before(&self, id: u64) -> Snapshots {
        let state = lock(&self.state);
        let newest = id - 1;
        let held = state.snapshots.keys().copied().filter(|snapshot| *snapshot != newest);
        held.chain([newest]).collect()
    }

    pub(super) fn publish(&self, id: u64) {
        lock(&self.state).published = id;
    }

    /// The oldest commit a reader may not see yet, and the newest one there is.
    pub(super) fn watermarks(&self) -> (u64, u64) {
        let state = lock(&self.state);
        let low = state.snapshots.keys().next().copied().unwrap_or(state.published);
        (low, state.published)
    }
}

impl Drop for ReaderTicket {
    fn drop(&mut self) {
        let mut state = lock(&self.readers.state);
        release(&mut state.snapshots, self.snapshot);
        let is_last_of_floor = release(&mut state.floors, self.floor_ms);
        let is_last_of_epoch = release(&mut state.epochs, self.epoch);
        // Telling nobody would be a system call for every query.
        if (is_last_of_floor || is_last_of_epoch) && state.waiting_count > 0 {
            self.readers.has_left.notify_all();
        }
    }
}

/// Counts one holder less; says whether it was the last one.
fn release<K: Ord + Copy>(holders: &mut BTreeMap<K, usize>, key: K) -> bool {
    let Some(count) = holders.get_mut(&key) else { return false };
    *count -= 1;
    if *count > 0 {
        return false;
    }
    holders.remove(&key);
    true
}

/// Samples of recent commits in one group, oldest first.
#[derive(Debug, Default)]
pub(super) struct CommitTails {
    entries: Vec<Tail>,
}

#[derive(Debug)]
struct Tail {
    /// The last commit that is counted here.
    id: u64,
    counts: TailCounts,
}

#[derive(Debug)]
enum TailCounts {
    /// At most one sample a slot.
    Once(Box<[u64; WORDS]>),
    Many(Box<[u32; GROUP_SLOTS]>),
}

impl CommitTails {
    /// Begins to count for commit `id`; forgets what no reader asks for any more.
    pub(super) fn begin(&mut self, id: u64, snapshots: &[u64]) {
        if self.entries.last().is_some_and(|tail| tail.id == id) {
            return;
        }
        let oldest = snapshots.first().copied().unwrap_or(id - 1);
        let mut spare = None;
        let mut kept: Vec<Tail> = Vec::new();
        for tail in self.entries.drain(..) {
            if tail.id <= oldest {
                spare = Some(tail.counts);
                continue;
            }
            let is_told_apart = |before: &Tail| {
                snapshots.iter().any(|snapshot| (before.id..tail.id).contains(snapshot))
            };
            match kept.last_mut() {
                Some(before) if !is_told_apart(before) => {
                    before.id = tail.id;
                    before.counts.merge(tail.counts);
                }
                _ => kept.push(tail),
            }
        }
        let counts = match spare {
            Some(TailCounts::Once(mut bits)) => {
                bits.fill(0);
                TailCounts::Once(bits)
            }
            _ => TailCounts::Once(Box::new([0; WORDS])),
        };
        if kept.is_empty() {
            // The usual case keeps the allocation that is there.
            self.entries.push(Tail { id, counts });
        } else {
            kept.push(Tail { id, counts });
            self.entries = kept;
        }
    }

    /// Counts a sample for the commit that began last.
    #[inline]
    pub(super) fn count(&mut self, slot: usize) {
        let Some(tail) = self.entries.last_mut() else { return };
        if let TailCounts::Once(bits) = &mut tail.counts {
            let (word, bit) = (slot / 64, 1 << (slot % 64));
            if bits[word] & bit == 0 {
                bits[word] |= bit;
                return;
            }
        }
        tail.counts.as_many()[slot] += 1;
    }

    /// How many of the last samples of a slot a reader must not see.
    #[inline]
    pub(super) fn hidden_count(&self, slot: usize, snapshot: u64) -> usize {
        let later = self.entries.iter().rev().take_while(|tail| tail.id > snapshot);
        later.map(|tail| tail.counts.get(slot)).sum()
    }
}

impl TailCounts {
    #[inline]
    fn get(&self, slot: usize) -> usize {
        match self {
            Self::Once(bits) => usize::from(bits[slot / 64] >> (slot % 64) & 1 == 1),
            Self::Many(counts) => counts[slot] as usize,
        }
    }

    fn merge(&mut self, other: Self) {
        if let (Self::Once(ours), Self::Once(theirs)) = (&mut *self, &other)
            && ours.iter().zip(theirs.iter()).all(|(ours, theirs)| ours & theirs == 0)
        {
            ours.iter_mut().zip(theirs.iter()).for_each(|(ours, theirs)| *ours |= theirs);
            return;
        }
        let counts = self.as_many();
        for (slot, count) in counts.iter_mut().enumerate() {
            *count += other.get(slot) as u32;
        }
    }

    fn as_many(&mut self) -> &mut [u32; GROUP_SLOTS] {
        if let Self::Once(_) = self {
            let mut counts = Box::new([0; GROUP_SLOTS]);
            for (slot, count) in counts.iter_mut().enumerate() {
                *count = self.get(slot) as u32;
            }
            *self = Self::Many(counts);
        }
        match self {
            Self::Many(counts) => counts,
            Self::Once(_) => unreachable!("it was changed above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_that_are_here_are_waited_for() {
        const SOON: Duration = Duration::ZERO;
        let readers = Arc::new(Readers::default());
        assert!(readers.wait_for_present(SOON));
        let [a, b] = [Readers::enter(&readers), Readers::enter(&readers)];
        assert!(!readers.wait_for_present(SOON));
        let _later = Readers::enter(&readers);
        drop(a);
        let waiting = std::thread::spawn({
            let readers = Arc::clone(&readers);
            move || readers.wait_for_present(Duration::from_secs(60))
        });
        while lock(&readers.state).waiting_count == 0 {
            std::thread::yield_now();
        }
        let _still_later = Readers::enter(&readers);
        drop((b, _later));
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn a_reader_sees_what_was_published_when_it_came() {
        let readers = Arc::new(Readers::default());
        let mut tails = CommitTails::default();
        let commit = |tails: &mut CommitTails, id, slots: &[usize]| {
            tails.begin(id, &readers.snapshots_before(id));
            slots.iter().for_each(|slot| tails.count(*slot));
        };
        commit(&mut tails, 1, &[0, 1]);
        let before = Readers::enter(&readers);
        readers.publish(1);
        let after = Readers::enter(&readers);
        let hidden = |tails: &CommitTails, ticket: &ReaderTicket| {
            [0, 1, 2].map(|slot| tails.hidden_count(slot, ticket.snapshot))
        };
        assert_eq!(hidden(&tails, &before), [1, 1, 0]);
        assert_eq!(hidden(&tails, &after), [0, 0, 0]);
        for id in 2..10 {
            commit(&mut tails, id, &[0, 2, 2]);
            readers.publish(id);
        }
        assert_eq!(hidden(&tails, &before), [9, 1, 16]);
        assert_eq!(hidden(&tails, &after), [8, 0, 16]);
        assert!(tails.entries.len() <= 4, "{}", tails.entries.len());
        drop(before);
        commit(&mut tails, 10, &[1]);
        assert_eq!(hidden(&tails, &after), [8, 1, 16]);
        drop(after);
        readers.publish(10);
        commit(&mut tails, 11, &[]);
        assert_eq!(tails.entries.len(), 1);
        assert_eq!(readers.watermarks(), (10, 10));
    }
}
