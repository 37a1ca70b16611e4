//! Three times that are never one another: the switch's clock, ours at receipt, and the stream's own.
//! All are microseconds since 1970-01-01T00:00:00Z without leap seconds.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// Microseconds since the epoch.
            pub fn micros(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&rfc3339(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&rfc3339(self.0))
            }
        }
    };
}

instant!(
    /// When the switch says it happened.
    OccurredAt
);
instant!(
    /// When we received it, by our clock at the edge of the house.
    ObservedAt
);
instant!(
    /// The hybrid clock of a stream: the writer's wall clock, but strictly rising from frame to frame.
    BookedAt
);

impl BookedAt {
    /// The next tick of the hybrid clock, given the writer's wall clock.
    pub fn next(self, wall_micros: i64) -> Self {
        Self(wall_micros.max(self.0 + 1))
    }
}

/// RFC 3339 in UTC, with as many decimals as are needed (none, 3 or 6).
pub fn rfc3339(micros: i64) -> String {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) if micros % 1_000_000 == 0 => format!("{time:.0}"),
        Ok(time) if micros % 1_000 == 0 => format!("{time:.3}"),
        Ok(time) => format!("{time:.6}"),
        Err(_) => format!("{micros} us"),
    }
}

/// Reads RFC 3339 with an offset into microseconds.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_microsecond())
}

/// Seconds as a decimal, e.g. `560.3`, from microseconds.
pub fn seconds(micros: i64) -> String {
    crate::money::format_scaled(i128::from(micros), 6, 0)
}

/// Microseconds from decimal seconds with at most 6 decimals.
pub fn parse_seconds(text: &str) -> Option<i64> {
    crate::money::parse_scaled(text, 6).and_then(|v| i64::try_from(v).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_clock_never_stands_or_goes_back() {
        let first = BookedAt(10).next(5);
        assert_eq!(first, BookedAt(11));
        assert_eq!(first.next(11), BookedAt(12));
        assert_eq!(first.next(99), BookedAt(99));
    }

    #[test]
    fn instants_print_in_utc() {
        let micros = parse_rfc3339("2023-05-09T10:00:00.250+02:00").unwrap();
        assert_eq!(OccurredAt(micros).to_string(), "2023-05-09T08:00:00.250Z");
        assert_eq!(seconds(560_300_000), "560.3");
        assert_eq!(parse_seconds("0.000001"), Some(1));
    }
}
