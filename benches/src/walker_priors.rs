//! What is expected of the walkers' residuals.

use truetick_netcode::schema::Priors;

/// None yet.
pub const PRIORS: Priors = &[];
