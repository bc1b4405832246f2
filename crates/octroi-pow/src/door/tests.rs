use super::*;

const BOUNDS: Bounds = Bounds { calls_per_second: 10.0, rest_bits: 20.0, most_bits: 26.0 };
const ANYBODY: Visitor<'static> = Visitor { tool: None, who: None };

fn effort(n: u64, bits: f64, calls: u32) -> Effort {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Effort { id, bits, calls }
}

/// Solutions of `calls` calls, `each` a second, for `seconds` from `start_ms` on, at whatever is asked.
fn pour(door: &mut Door, visitor: &Visitor<'_>, each: u64, (start_ms, seconds): (u64, u64)) -> u64 {
    let mut admitted = 0;
    for n in 0..each * seconds {
        let now = start_ms + n * 1000 / each;
        let bits = door.bits(visitor, now);
        admitted += u64::from(door.admit(&effort(start_ms << 20 | n, bits, 1), visitor, now).is_ok());
    }
    admitted
}

#[test]
fn what_can_be_borne_costs_the_least_and_what_cannot_is_turned_away() {
    let mut door = Door::new(BOUNDS, [], 0);
    assert_eq!(pour(&mut door, &ANYBODY, 8, (0, 60)), 8 * 60);
    assert_eq!(door.bits(&ANYBODY, 60_000), 20.0);
    let admitted = pour(&mut door, &ANYBODY, 200, (60_000, 60));
    assert!((600..=660).contains(&admitted), "ten a second and a burst: {admitted}");
    assert_eq!(door.bits(&ANYBODY, 120_000), 26.0, "solved as fast at any difficulty: as hard as it gets");
    assert!(door.view(120_000).shed > 10_000);
}

#[test]
fn a_tool_of_its_own_lane_is_harder_alone_and_so_is_what_is_good_for_any() {
    let dear = Bounds { calls_per_second: 1.0, ..BOUNDS };
    let mut door = Door::new(BOUNDS, [("dear".to_owned(), dear)], 0);
    let visitor = |tool| Visitor { tool: Some(tool), who: None };
    pour(&mut door, &visitor("dear"), 5, (0, 60));
    assert_eq!(door.bits(&visitor("cheap"), 60_000), 20.0);
    assert!(door.bits(&visitor("dear"), 60_000) > 22.0);
    assert_eq!(door.bits(&ANYBODY, 60_000), door.bits(&visitor("dear"), 60_000));
}

#[test]
fn one_network_that_takes_a_lot_pays_for_itself() {
    let mut door = Door::new(BOUNDS, [], 0);
    let from = |who| Visitor { tool: None, who: Some(who) };
    pour(&mut door, &from(1), 5, (0, 120));
    assert_eq!(door.bits(&from(2), 120_000), 20.0);
    let dear = door.bits(&from(1), 120_000);
    assert!((21.5..=24.0).contains(&dear), "four times its share: {dear}");
}

#[test]
fn a_solution_turned_away_again_and_again_is_one_solution() {
    let mut door = Door::new(BOUNDS, [], 0);
    let one = effort(1, 20.0, 1);
    while door.admit(&effort(2, 20.0, 1), &ANYBODY, 0).is_ok() {}
    for now in 0..60_000 {
        // Room is there again and again, and taken by others.
        while door.admit(&effort(2, 20.0, 1), &ANYBODY, now).is_ok() {}
        assert_eq!(door.admit(&one, &ANYBODY, now), Err(Full { retry_after_seconds: 1 }));
    }
    assert!(door.bits(&ANYBODY, 60_000) <= 21.0, "{}", door.bits(&ANYBODY, 60_000));
}

#[test]
fn puzzles_hoarded_while_they_were_cheap_wait_until_the_door_is_less_busy() {
    let mut door = Door::new(BOUNDS, [], 0);
    pour(&mut door, &ANYBODY, 100, (0, 60));
    assert!(door.bits(&ANYBODY, 60_000) > 25.0);
    // Some room, far from half of it.
    let now = 61_000;
    assert!(door.admit(&effort(1, 20.0, 1), &ANYBODY, now).is_err());
    assert!(door.admit(&effort(2, 26.0, 1), &ANYBODY, now).is_ok());
    assert!(door.admit(&effort(1, 20.0, 1), &ANYBODY, now + 10_000).is_ok());
}

#[test]
fn an_idle_door_comes_back_to_its_rest() {
    let mut door = Door::new(BOUNDS, [], 0);
    pour(&mut door, &ANYBODY, 200, (0, 60));
    let bits = |door: &mut Door, now| door.bits(&ANYBODY, now);
    assert_eq!(bits(&mut door, 60_000), 26.0);
    let later = bits(&mut door, 60_000 + 100_000);
    assert!((23.5..24.9).contains(&later), "half as hard every 50 s: {later}");
    assert_eq!(bits(&mut door, 60_000 + 600_000), 20.0);
    // A clock that jumps does no harm.
    assert_eq!(bits(&mut door, u64::MAX), 20.0);
    assert_eq!(bits(&mut door, 0), 20.0);
}

#[test]
fn a_laptops_seconds_are_bits() {
    assert!((bits_of_laptop_seconds(1.0) - 25.575).abs() < 0.01);
    assert_eq!(bits_of_laptop_seconds(2.0), bits_of_laptop_seconds(1.0) + 1.0);
    assert_eq!(bits_of_laptop_seconds(0.0), 0.0);
}
