//! Credit between sites in a seeded world: the product's own `accounting::credit`, many sites, and everything that
//! happens to them. Sites crash at every write, their copies of the others fall back, links drop, repeat, delay and
//! reorder, are cut one way or both; calls end late, twice, elsewhere, or not at all. After each entry the union of
//! all streams is checked ([`check`]); at the end the world heals and all books must be equal.
//!
//! A seed and a commit give the same run on every machine. A run that fails is made smaller ([`story`]) and told. What
//! the simulator is worth is shown by mistakes made on purpose ([`mistakes`]): it must find them.
//!
//! It never waits, and no wall clock, socket or file is in it.

pub mod check;
pub mod mistakes;
pub mod pipeline;
pub mod plan;
pub mod story;
pub mod world;

mod calls;
mod dice;

#[cfg(test)]
mod models;
#[cfg(test)]
mod night;
#[cfg(test)]
mod tests;

pub use check::Violation;
pub use mistakes::Mistake;
pub use plan::{Fault, Plan};
pub use world::World;

/// Runs one plan to its end; what it did, or what it found.
pub fn run(plan: &Plan) -> Result<world::Tally, Violation> {
    World::new(plan.clone()).run()
}
