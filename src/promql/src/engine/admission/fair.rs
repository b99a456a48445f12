//! One lane of waiting queries: classes by weight, the clients of a class in turn, the queries of a client
//! in order of arrival. It knows no limits and wakes nobody.

use std::{collections::VecDeque, sync::Arc};

use super::{Claim, ticket::Seat};
use crate::engine::QueryClass;

/// Classes that share a lane, and how often each comes while all of them wait.
const CLASSES: [(QueryClass, i64); 4] = [
    (QueryClass::Rules, 4),
    (QueryClass::Api, 4),
    (QueryClass::Pages, 2),
    (QueryClass::RemoteRead, 1),
];

/// Waiting queries, and how many of this lane run.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) running_count: usize,
    classes: [OfClass; CLASSES.len()],
}

#[derive(Debug, Default)]
struct OfClass {
    /// Grows with the weight whenever somebody is taken; the class with the most comes next.
    credit: i64,
    /// The client whose turn it is comes first; none without queries.
    clients: VecDeque<OfClient>,
}

#[derive(Debug)]
struct OfClient {
    name: Arc<str>,
    queries: VecDeque<(u64, Arc<Seat>)>,
}

impl Lane {
    pub(super) fn push(&mut self, claim: &Claim, number: u64, seat: Arc<Seat>) {
        let clients = &mut self.classes[index_of(claim.class)].clients;
        let query = (number, seat);
        match clients.iter_mut().find(|client| client.name == claim.client) {
            Some(client) => client.queries.push_back(query),
            None => clients.push_back(OfClient {
                name: Arc::clone(&claim.client),
                queries: VecDeque::from([query]),
            }),
        }
    }

    /// The next query.
    pub(super) fn pop(&mut self) -> Option<Arc<Seat>> {
        let mut total = 0;
        for (class, (_, weight)) in self.classes.iter_mut().zip(CLASSES) {
            if class.clients.is_empty() {
                class.credit = 0;
            } else {
                class.credit += weight;
                total += weight;
            }
        }
        let waiting = self.classes.iter_mut().rev().filter(|class| !class.clients.is_empty());
        let class = waiting.max_by_key(|class| class.credit)?;
        class.credit -= total;
        let mut client = class.clients.pop_front()?;
        let (_, seat) = client.queries.pop_front()?;
        if !client.queries.is_empty() {
            class.clients.push_back(client);
        }
        Some(seat)
    }

    /// Removes a query that does not want to wait any longer.
    pub(super) fn remove(&mut self, claim: &Claim, number: u64) -> bool {
        let clients = &mut self.classes[index_of(claim.class)].clients;
        let Some(at) = clients.iter().position(|client| client.name == claim.client) else {
            return false;
        };
        let queries = &mut clients[at].queries;
        let before = queries.len();
        queries.retain(|(known, _)| *known != number);
        let is_found = queries.len() < before;
        if queries.is_empty() {
            clients.remove(at);
        }
        is_found
    }
}

fn index_of(class: QueryClass) -> usize {
    match class {
        QueryClass::Rules => 0,
        QueryClass::Api => 1,
        QueryClass::Pages => 2,
        QueryClass::RemoteRead => 3,
    }
}
