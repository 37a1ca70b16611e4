//! A switch that repeats its call keys.

use super::*;

#[test]
fn two_starts_with_one_key_further_apart_than_the_longest_call_are_two_calls() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    maker.simple("a", 100).iter().for_each(|event| house.push(event));
    // The second call in any order but its start first; the third one days later.
    let second = maker.simple("a", 20_000);
    [0, 2, 1].iter().for_each(|at| house.push(&second[*at]));
    maker.simple("a", 500_000).iter().for_each(|event| house.push(event));
    // What comes late finds the call that it is of.
    let mut late = maker.event("a", EventKind::Ended, Leg::Both, 20_100);
    late.observed_at = ObservedAt(600_000 * SECOND);
    house.push(&late);
    let mut late = maker.event("a", EventKind::Ended, Leg::Both, 500_200);
    late.observed_at = ObservedAt(600_000 * SECOND);
    house.push(&late);
    check(
        &house,
        expect![[r#"
            a ends 169 talks 60s None [a-b#0 60s None]
            told key_reused of 0
            a (again 1970-01-01T05:33:20Z) ends 20069 talks 60s None [a-b#0 60s None]
            told key_reused of 0
            a (again 1970-01-06T18:53:20Z) ends 500069 talks 60s None [a-b#0 60s None]
            revised a (again 1970-01-01T05:33:20Z) ends 20069 talks 60s None [a-b#0 91s None]
            revised a (again 1970-01-06T18:53:20Z) ends 500069 talks 60s None [a-b#0 191s None]"#]],
    );
    let ids: BTreeSet<CallId> = house.calls().into_iter().filter_map(|(id, call)| call.map(|_| id)).collect();
    assert_eq!(ids.len(), 3, "one id for two calls would be one charge");
}

#[test]
fn a_second_call_does_not_join_an_open_first_one_and_is_told_of_once() {
    let (mut house, mut maker) = (House::new(), Maker { sequence: 0 });
    let (first, second) = (maker.simple("a", 100), maker.simple("a", 14_501));
    house.push(&first[0]);
    house.push(&second[0]);
    house.push(&first[1]);
    house.push(&second[1]);
    assert_eq!(house.assembler.open_calls(), 2);
    house.push(&second[2]);
    house.push(&first[2]);
    check(
        &house,
        expect![[r#"
            told key_reused of 0
            a (again 1970-01-01T04:01:41Z) ends 14570 talks 60s None [a-b#0 60s None]
            a ends 169 talks 60s None [a-b#0 60s None]"#]],
    );
    // A new owner reads the same events again: nobody is told twice, nothing is written twice.
    let mut again = House::new();
    std::mem::swap(&mut again.index, &mut house.index);
    again.assembler.replay(true);
    for (offset, event) in [&first[0], &second[0], &first[1], &second[1], &second[2], &first[2]].iter().enumerate() {
        let pushed = again.assembler.recover(&event.view(), offset as u64, &again.index, &mut again.keys);
        assert!(matches!(pushed, Pushed::Repeated), "{pushed:?}");
    }
    again.assembler.replay(false);
    again.drain();
    assert_eq!((again.log, again.assembler.open_calls()), (Vec::new(), 0));
}
