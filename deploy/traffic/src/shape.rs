//! When calls come and how long they last (sources beside each figure): hourly curves by
//! profile, Poisson-like minutes, log-normal talk times with the spikes that machines make. Integers only.

use crate::dice::{Dice, mix};
use crate::world::{CUSTOMERS, Customer, Profile};

const SECOND: i64 = 1_000_000;
const MINUTES: usize = 1_440;
/// Longest call: the switch's cap.
pub const CAP: i64 = 14_400 * SECOND;

/// Calls of each hour, of 1,000 a day. Business: peaks at 10-12 and 14-16; residential: 19-22; diaspora: the evening
/// of the called country; diallers: office hours; fraud: night.
#[rustfmt::skip]
fn hours(profile: Profile) -> [u64; 24] {
    match profile {
        Profile::Business => [2, 2, 2, 2, 3, 6, 15, 35, 75, 100, 115, 110, 80, 85, 110, 100, 70, 40, 20, 12, 8, 4, 2, 2],
        Profile::Residential => [8, 4, 3, 3, 4, 8, 20, 35, 45, 50, 50, 50, 50, 48, 48, 50, 55, 65, 85, 110, 105, 70, 24, 10],
        Profile::Diaspora => [30, 20, 12, 8, 8, 10, 15, 20, 25, 35, 40, 45, 50, 60, 75, 85, 90, 85, 75, 65, 55, 40, 30, 22],
        Profile::Dialler => [0, 0, 0, 0, 0, 0, 0, 20, 110, 110, 110, 110, 60, 110, 110, 110, 100, 50, 0, 0, 0, 0, 0, 0],
        Profile::Fraud => [110, 120, 120, 120, 110, 80, 30, 15, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 15, 20, 25, 35, 50, 80],
    }
}

/// Thousandths of a working day's calls that a weekend day has.
fn weekend(profile: Profile) -> u64 {
    match profile {
        Profile::Business => 350,
        Profile::Residential => 1_100,
        Profile::Diaspora => 1_150,
        Profile::Dialler => 200,
        Profile::Fraud => 1_000,
    }
}

/// The curve of one day.
#[derive(Clone, Debug)]
pub struct Day {
    /// Cumulative weights of the customers, by minute.
    customers: Vec<[u64; CUSTOMERS]>,
    /// Calls that begin before the end of each minute.
    cumulative: Vec<u64>,
}

impl Day {
    pub fn new(seed: u64, day: i64, calls: u64, customers: &[Customer]) -> Self {
        // 1970-01-01 was a Thursday.
        let is_weekend = matches!(day.div_euclid(86_400 * SECOND).rem_euclid(7), 2 | 3);
        let mut sums = Vec::with_capacity(MINUTES);
        let mut dice = Dice::new(seed, 0xda, 0);
        let mut weights = Vec::with_capacity(MINUTES);
        for minute in 0..MINUTES {
            let mut cumulative = [0; CUSTOMERS];
            let mut sum = 0;
            for (place, customer) in customers.iter().enumerate().take(CUSTOMERS) {
                let curve = hours(customer.profile);
                let (now, next) = (curve[minute / 60], curve[(minute / 60 + 1) % 24]);
                let within = minute as u64 % 60;
                let mut weight = (now * (60 - within) + next * within) * customer.share;
                if is_weekend {
                    weight = weight * weekend(customer.profile) / 1_000;
                }
                if customer.profile == Profile::Dialler {
                    // Campaigns of five minutes.
                    weight = weight * (40 + mix(mix(seed, place as u64), minute as u64 / 5) % 120) / 100;
                }
                sum += weight;
                cumulative[place] = sum;
            }
            sums.push(cumulative);
            weights.push(sum);
        }
        // A Poisson count scatters by its root; the day's total stays what was asked for.
        let total: u128 = weights.iter().map(|w| u128::from(*w)).sum::<u128>().max(1);
        let scattered: Vec<u64> = weights
            .iter()
            .map(|weight| {
                // In thousandths of a call.
                let mean = (u128::from(calls) * 1_000 * u128::from(*weight) / total) as i64;
                let noise = ((i128::from(dice.normal()) * i128::from((mean as u64 * 1_000).isqrt())) >> 32) as i64;
                (mean + noise).max(0) as u64
            })
            .collect();
        let sum = scattered.iter().map(|count| u128::from(*count)).sum::<u128>().max(1);
        let mut running = 0u128;
        let cumulative = scattered
            .iter()
            .map(|count| {
                running += u128::from(*count);
                (u128::from(calls) * running / sum) as u64
            })
            .collect();
        Self { customers: sums, cumulative }
    }

    /// Indices of the calls that begin in a minute.
    pub fn calls_in(&self, minute: usize) -> std::ops::Range<u64> {
        let before = if minute == 0 { 0 } else { self.cumulative[minute - 1] };
        before..self.cumulative[minute]
    }

    pub fn minutes(&self) -> usize {
        self.cumulative.len()
    }

    pub fn customer(&self, minute: usize, dice: &mut Dice) -> usize {
        dice.cumulative(&self.customers[minute % MINUTES]).min(CUSTOMERS - 1)
    }
}

/// Talk time, microseconds, at least one.
pub fn talk(profile: Profile, dice: &mut Dice) -> i64 {
    let mixed = |dice: &mut Dice, long: u32, short: (i64, i64), tail: (i64, i64)| {
        let (median, sigma) = if dice.chance(long) { tail } else { short };
        dice.log_normal(median * SECOND, sigma)
    };
    let length = match dice.below(1_000) {
        // Recorded announcements and voice mail.
        0..=11 => dice.log_normal(25 * SECOND, 50),
        12..=29 => dice.between(5 * SECOND, 8 * SECOND),
        // Caps of other people's switches.
        30 => *dice.pick(&[3_600 * SECOND, 4_000 * SECOND, 7_200 * SECOND, CAP]),
        // Whole seconds and halves, where rounding rules part.
        31..=40 => dice.between(1, 600) * SECOND,
        41..=45 => dice.between(0, 600) * SECOND + SECOND / 2,
        _ => match profile {
            Profile::Business | Profile::Residential => mixed(dice, 200_000, (60, 1_300), (500, 800)),
            Profile::Diaspora => mixed(dice, 450_000, (90, 1_400), (900, 750)),
            Profile::Dialler => mixed(dice, 50_000, (9, 1_100), (120, 800)),
            Profile::Fraud if dice.chance(900_000) => SECOND,
            Profile::Fraud => mixed(dice, 300_000, (20, 1_000), (300, 300)),
        },
    };
    length.clamp(1, CAP)
}

/// Chance of an answer at one attempt, in a million: ASR 40 to 70 % for people, 10 to 35 % for machines.
pub fn answer_chance(profile: Profile) -> u32 {
    match profile {
        Profile::Business => 560_000,
        Profile::Residential => 520_000,
        Profile::Diaspora => 430_000,
        Profile::Dialler => 190_000,
        Profile::Fraud => 700_000,
    }
}

/// INVITE to the first 18x or 200.
pub fn post_dial(dice: &mut Dice) -> i64 {
    dice.log_normal(2_500_000, 620).clamp(80_000, 30 * SECOND)
}

/// First ringing to the answer.
pub fn ring(dice: &mut Dice) -> i64 {
    dice.log_normal(9 * SECOND, 800).clamp(200_000, 60 * SECOND)
}

/// SIP code and Q.850 cause of a failed attempt, and whether another vendor is worth a try.
pub fn failure(dice: &mut Dice) -> (u16, u16, bool) {
    const FAILURES: [(u16, u16, bool); 9] = [
        (486, 17, false),
        (487, 16, false),
        (480, 19, true),
        (404, 1, false),
        (503, 34, true),
        (408, 102, true),
        (504, 102, true),
        (403, 21, true),
        (603, 21, false),
    ];
    FAILURES[dice.weighted(&[30, 30, 15, 10, 8, 3, 1, 2, 1])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn a_day_has_its_calls_and_its_busy_hour() {
        let world = World::new(1_000 * 86_400 * SECOND);
        let day = Day::new(5, world.day, 100_000, &world.customers);
        let hour = |hour: usize| (hour * 60..hour * 60 + 60).map(|m| day.calls_in(m).count()).sum::<usize>();
        assert_eq!((0..24).map(hour).sum::<usize>(), 100_000);
        assert_eq!(day.calls_in(day.minutes() - 1).end, 100_000);
        let busiest = (0..24).map(hour).max().unwrap();
        assert!((6_500..12_500).contains(&busiest), "{busiest}");
        assert!(hour(3) < 2_500, "{}", hour(3));
    }
}
