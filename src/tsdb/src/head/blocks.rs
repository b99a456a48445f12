//! Bytes of open chunks: chains of 32-byte blocks. Chunks grow without being copied, and what a closed
//! chunk gives back is what the next one takes, whatever their sizes.

const BLOCK_WORDS: usize = 8;
const BLOCK_SIZE_BYTES: usize = BLOCK_WORDS * 4;
/// One page is 4 KiB.
const PAGE_BLOCKS: usize = 128;
const NO_BLOCK: u16 = u16::MAX;

type Page = [[u32; BLOCK_WORDS]; PAGE_BLOCKS];

/// The blocks of one group.
#[derive(Debug, Default)]
pub(super) struct BlockPool {
    pages: Vec<Box<Page>>,
    /// The block behind each block, in its chunk or among the free ones.
    next: Vec<u16>,
    free: u16,
    free_count: u16,
}

/// The blocks of one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    head: u16,
    tail: u16,
    /// Bytes written, always whole words.
    pub(super) size_bytes: u16,
}

impl Chain {
    pub(super) const EMPTY: Self = Self { head: NO_BLOCK, tail: NO_BLOCK, size_bytes: 0 };
}

impl BlockPool {
    #[inline]
    pub(super) fn push_word(&mut self, chain: &mut Chain, word: u32) {
        let at = usize::from(chain.size_bytes / 4) % BLOCK_WORDS;
        if at == 0 {
            self.grow(chain);
        }
        let (page, block) = place(chain.tail);
        self.pages[page][block][at] = word;
        chain.size_bytes += 4;
    }

    /// Appends the bytes of a chain to `out`.
    #[inline]
    pub(super) fn copy(&self, chain: &Chain, out: &mut Vec<u8>) {
        self.for_each_word(chain, |word| out.extend_from_slice(&word));
    }

    /// Shows the bytes of a chain, a word at a time.
    #[inline]
    pub(super) fn for_each_word(&self, chain: &Chain, mut each: impl FnMut([u8; 4])) {
        let mut left = usize::from(chain.size_bytes);
        let mut at = chain.head;
        while left > 0 {
            let (page, block) = place(at);
            let words = &self.pages[page][block];
            let size = left.min(BLOCK_SIZE_BYTES);
            for word in &words[..size / 4] {
                each(word.to_be_bytes());
            }
            left -= size;
            at = self.next[usize::from(at)];
        }
    }

    /// Takes the blocks of a chain back.
    pub(super) fn free(&mut self, chain: Chain) {
        if chain.head == NO_BLOCK {
            return;
        }
        self.next[usize::from(chain.tail)] =
            if self.free_count == 0 { NO_BLOCK } else { self.free };
        self.free = chain.head;
        self.free_count += chain.size_bytes.div_ceil(BLOCK_SIZE_BYTES as u16);
    }

    /// Gives the memory back if no chunk has a block.
    pub(super) fn shrink(&mut self) {
        if usize::from(self.free_count) == self.pages.len() * PAGE_BLOCKS {
            *self = Self::default();
        }
    }

    fn grow(&mut self, chain: &mut Chain) {
        if self.free_count == 0 {
            self.add_page();
        }
        let block = self.free;
        self.free = self.next[usize::from(block)];
        self.free_count -= 1;
        if chain.head == NO_BLOCK {
            chain.head = block;
        } else {
            self.next[usize::from(chain.tail)] = block;
        }
        chain.tail = block;
    }

    fn add_page(&mut self) {
        let first = u16::try_from(self.next.len()).ok().filter(|first| *first < NO_BLOCK);
        let first = first.expect("1024 chunks of 1 KiB are half of the blocks that u16 can number");
        self.next.reserve_exact(PAGE_BLOCKS);
        self.next.extend((1..=PAGE_BLOCKS as u16).map(|block| first.wrapping_add(block)));
        self.pages.push(Box::new([[0; BLOCK_WORDS]; PAGE_BLOCKS]));
        self.free = first;
        self.free_count = PAGE_BLOCKS as u16;
    }
}

#[inline]
fn place(block: u16) -> (usize, usize) {
    (usize::from(block) / PAGE_BLOCKS, usize::from(block) % PAGE_BLOCKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_keep_their_words_and_give_blocks_back() {
        let mut pool = BlockPool::default();
        for round in 0..3u32 {
            let mut chains = [Chain::EMPTY; 50];
            for word in 0..200u32 {
                for (number, chain) in
                    chains.iter_mut().enumerate().filter(|(n, _)| n % 3 != 1 || word < 9)
                {
                    pool.push_word(chain, (word << 16) + number as u32 + round);
                }
            }
            for (number, chain) in chains.into_iter().enumerate() {
                let mut bytes = Vec::new();
                pool.copy(&chain, &mut bytes);
                let count = if number % 3 == 1 { 9 } else { 200 };
                assert_eq!(bytes.len(), count * 4);
                for (word, bytes) in bytes.chunks(4).enumerate() {
                    assert_eq!(
                        bytes,
                        (((word as u32) << 16) + number as u32 + round).to_be_bytes()
                    );
                }
                pool.free(chain);
            }
            // 33 chains of 25 blocks, 17 of 2: seven pages, in each round the same ones.
            assert_eq!((pool.pages.len(), usize::from(pool.free_count)), (7, 7 * PAGE_BLOCKS));
        }
        let mut none = Vec::new();
        pool.copy(&Chain::EMPTY, &mut none);
        pool.free(Chain::EMPTY);
        assert!(none.is_empty());
    }
}
