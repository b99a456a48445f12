//! Who runs when, without running anything.

use super::*;

fn claim(class: QueryClass, client: &str, weight: Weight) -> Claim {
    Claim { class, client: client.into(), weight }
}

fn ask(admission: &Admission, class: QueryClass, client: &str, weight: Weight) -> Ticket {
    admission.ask(claim(class, client, weight)).expect("there is room in the queue")
}

#[test]
fn slots_are_parted_by_cores() {
    let check = |slots, cores, heavy, small| {
        let limits = Limits::new(slots, cores);
        assert_eq!((limits.heavy, limits.small), (heavy, small), "{slots} {cores}");
    };
    check(20, 2, 4, 16);
    check(20, 16, 15, 5);
    check(4, 2, 3, 1);
    check(2, 2, 1, 1);
    check(1, 8, 1, 1);
    assert_eq!(Limits::new(0, 2).heavy, 4);
}

#[test]
fn small_queries_pass_a_hundred_heavy_ones() {
    let admission = Admission::new(20, 2);
    let mut heavy: Vec<Ticket> =
        (0..100).map(|_| ask(&admission, QueryClass::Api, "a", Weight::Heavy)).collect();
    let running: Vec<Permit> = heavy.iter_mut().filter_map(Ticket::take).collect();
    assert_eq!(running.len(), 4);
    let mut small = ask(&admission, QueryClass::Api, "a", Weight::Small);
    assert!(small.take().is_some());
    assert_eq!(admission.running_count(), 4);
    drop(running);
    let next: Vec<Permit> = heavy.iter_mut().filter_map(Ticket::take).collect();
    assert_eq!(next.len(), 4);
}

#[test]
fn rules_wait_for_rules_only() {
    let admission = Admission::new(1, 2);
    let mut page = ask(&admission, QueryClass::Pages, "a", Weight::Heavy);
    let _running = page.take().expect("nobody else is there");
    let mut rule = ask(&admission, QueryClass::Rules, "group", Weight::Heavy);
    let permit = rule.take().expect("rules have a slot of their own");
    let mut second = ask(&admission, QueryClass::Rules, "other", Weight::Small);
    assert!(second.take().is_none());
    drop(permit);
    assert!(second.take().is_some());
}

/// The order in which `asked` come, one after the other.
fn order(asked: &[(QueryClass, &str)]) -> Vec<usize> {
    let admission = Admission::new(1, 1);
    let mut first = ask(&admission, QueryClass::Api, "first", Weight::Small);
    let mut running = first.take();
    let mut tickets: Vec<Ticket> = asked
        .iter()
        .map(|(class, client)| ask(&admission, *class, client, Weight::Small))
        .collect();
    let mut order = Vec::new();
    while order.len() < tickets.len() {
        drop(running.take());
        let next =
            tickets.iter_mut().enumerate().find_map(|(at, ticket)| Some((at, ticket.take()?)));
        let (at, permit) = next.expect("somebody is next");
        order.push(at);
        running = Some(permit);
    }
    order
}

#[test]
fn clients_take_turns() {
    use QueryClass::Api;
    let asked = [(Api, "a"), (Api, "a"), (Api, "a"), (Api, "b"), (Api, "c"), (Api, "b")];
    assert_eq!(order(&asked), [0, 3, 4, 1, 5, 2]);
}

#[test]
fn classes_come_by_weight_and_none_starves() {
    use QueryClass::{Api, Pages, RemoteRead};
    let asked: Vec<_> = [Api; 8]
        .into_iter()
        .chain([Pages; 4])
        .chain([RemoteRead; 2])
        .map(|class| (class, "a"))
        .collect();
    let order = order(&asked);
    let first_seven = &order[..7];
    assert_eq!(first_seven.iter().filter(|at| **at < 8).count(), 4, "{order:?}");
    assert_eq!(first_seven.iter().filter(|at| (8..12).contains(*at)).count(), 2, "{order:?}");
    assert_eq!(order[0], 0);
}

#[test]
fn whoever_leaves_frees_its_place() {
    let admission = Admission::new(1, 1);
    let mut running = ask(&admission, QueryClass::Api, "a", Weight::Small);
    let permit = running.take();
    let waiting = ask(&admission, QueryClass::Api, "a", Weight::Small);
    let granted_unseen = ask(&admission, QueryClass::Api, "b", Weight::Small);
    let mut last = ask(&admission, QueryClass::Api, "c", Weight::Small);
    drop(waiting);
    drop(permit);
    assert!(last.take().is_none());
    drop(granted_unseen);
    assert!(last.take().is_some());
    assert_eq!(admission.running_count(), 0);
}

#[test]
fn the_queue_has_an_end() {
    let admission = Admission::new(1, 1);
    let mut tickets: Vec<Ticket> = Vec::new();
    let error = loop {
        match admission.ask(claim(QueryClass::Api, "a", Weight::Small)) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
    };
    assert_eq!(tickets.len(), WAITING_COUNT_MAX + 1);
    assert_eq!(error, QueryError::QueueFull { waiting_count: WAITING_COUNT_MAX });
}
