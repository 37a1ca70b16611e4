//! Doubly linked lists over slot numbers: calls in the order in which they were opened, any of them removed at once.

const NONE: u32 = u32::MAX;

/// Neighbours of every slot; a slot is in at most one list.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<(u32, u32)>);

impl Links {
    pub fn grow(&mut self) {
        self.0.push((NONE, NONE));
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE }
    }
}

impl List {
    pub fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub fn push_back(&mut self, links: &mut Links, slot: u32) {
        links.0[slot as usize] = (self.tail, NONE);
        match self.tail {
            NONE => self.head = slot,
            tail => links.0[tail as usize].1 = slot,
        }
        self.tail = slot;
    }

    pub fn remove(&mut self, links: &mut Links, slot: u32) {
        let (before, after) = links.0[slot as usize];
        match before {
            NONE => self.head = after,
            before => links.0[before as usize].1 = after,
        }
        match after {
            NONE => self.tail = before,
            after => links.0[after as usize].0 = before,
        }
        links.0[slot as usize] = (NONE, NONE);
    }
}
