//! How often clients ask: queries a second by plan and order, which capacity is planned for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::geo::census::Group;
use crate::steer::record::{Plan, Record};
use crate::wire::name::Name;

/// Why a rate is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is no number.
    #[error(
        "'{0}' is no rate: write queries a second in all, 12000, or of a record, www.example.org=8000"
    )]
    Form(String),
    /// Two of them are of everything.
    #[error("two rates of everything: name a record before all but one, www.example.org=8000")]
    Twice,
    /// A record is not there.
    #[error("'{0}' has a rate and is not among these records")]
    Unknown(String),
}

/// Queries a second as somebody supposes them: of records by name, and of all others together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    named: HashMap<String, f64>,
    others: f64,
}

impl Rates {
    /// Of texts `12000` and `NAME=8000`. What no name is before is asked of all records without a
    /// rate of their own, of each alike; `owners` are all there are.
    ///
    /// # Errors
    /// When one is no rate, or of no record.
    pub fn new<'o>(
        texts: &[String],
        owners: impl Iterator<Item = &'o Name>,
    ) -> Result<Self, RateError> {
        let mut rates = Self::default();
        let mut all: Option<f64> = None;
        for text in texts.iter().flat_map(|list| list.split(',')).map(str::trim) {
            let refused = || RateError::Form(text.to_owned());
            let (name, rate) = match text.split_once('=') {
                Some((name, rate)) => (Some(name.trim()), rate.trim()),
                None => (None, text),
            };
            let rate: f64 = rate.parse().map_err(|_| refused())?;
            if !rate.is_finite() || rate < 0.0 {
                return Err(refused());
            }
            match name {
                Some(name) => _ = rates.named.insert(plain(name), rate),
                None if all.is_some() => return Err(RateError::Twice),
                None => all = Some(rate),
            }
        }
        let owners: Vec<String> = owners.map(|owner| plain(&owner.to_string())).collect();
        if let Some(name) = rates.named.keys().find(|name| !owners.contains(name)) {
            return Err(RateError::Unknown(name.clone()));
        }
        let others = owners.iter().filter(|owner| !rates.named.contains_key(*owner)).count();
        rates.others = all.unwrap_or(0.0) / others.max(1) as f64;
        Ok(rates)
    }

    /// As measured, by owner name.
    pub fn measured(by_owner: impl Iterator<Item = (String, f64)>) -> Self {
        Self { named: by_owner.map(|(name, rate)| (plain(&name), rate)).collect(), others: 0.0 }
    }

    /// Queries a second for one record.
    pub fn of(&self, owner: &Name) -> f64 {
        self.named.get(&plain(&owner.to_string())).copied().unwrap_or(self.others)
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// Queries a second by plan and order.
#[derive(Debug, Clone, Default)]
pub struct Traffic(HashMap<*const Plan, Vec<f64>>);

impl Traffic {
    /// Adds a record's queries, of which each order brings a part.
    pub fn add(&mut self, record: &Record, rate: f64, parts: &[f64]) {
        let known = self.0.entry(Arc::as_ptr(&record.plan));
        let known = known.or_insert_with(|| vec![0.0; parts.len()]);
        known.iter_mut().zip(parts).for_each(|(sum, part)| *sum += rate * part);
    }

    /// Sets what an order of a plan brings.
    pub fn set(&mut self, plan: &Plan, order: usize, rate: f64) {
        let orders = plan.map.orders().len();
        let known = self.0.entry(std::ptr::from_ref(plan)).or_insert_with(|| vec![0.0; orders]);
        if let Some(known) = known.get_mut(order) {
            *known = rate;
        }
    }

    /// What an order of a plan brings.
    pub fn of(&self, plan: &Plan, order: usize) -> f64 {
        self.0.get(&std::ptr::from_ref(plan)).and_then(|by| by.get(order)).copied().unwrap_or(0.0)
    }
}

/// Which part of all clients has each order of the map at `side` of the groups. A /48 of the whole
/// address space is no /24: there IPv4 stands for all, where it has any clients; the weights of a
/// list (`listed`) count alike.
pub fn parts<'g>(
    groups: impl Iterator<Item = &'g Group>,
    side: usize,
    orders: usize,
    listed: bool,
) -> Vec<f64> {
    let mut sums = vec![[0.0; 2]; orders];
    for group in groups {
        let order = group.orders.get(side).map_or(usize::MAX, |order| *order as usize);
        if let Some(sum) = sums.get_mut(order) {
            sum[0] += group.weight[0];
            sum[1] += group.weight[1];
        }
    }
    let of =
        weigher(sums.iter().fold([0.0; 2], |all, sum| [all[0] + sum[0], all[1] + sum[1]]), listed);
    sums.into_iter().map(of).collect()
}

/// From the weights of clients of both families to their part of `total`.
pub fn weigher(total: [f64; 2], listed: bool) -> impl Fn([f64; 2]) -> f64 {
    let count = move |weight: [f64; 2]| match (listed, total[0] > 0.0) {
        (true, _) => weight[0] + weight[1],
        (false, true) => weight[0],
        (false, false) => weight[1],
    };
    let all = count(total);
    move |weight| if all > 0.0 { count(weight) / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(texts: &[&str]) -> Result<Rates, RateError> {
        let owners = ["www.example.org.", "api.example.org.", "cdn.example.org."];
        let owners: Vec<Name> = owners.iter().map(|name| name.parse().expect("a name")).collect();
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Rates::new(&texts, owners.iter())
    }

    #[test]
    fn a_rate_is_of_all_or_of_one() {
        let of = |rates: &Rates, name: &str| rates.of(&name.parse().expect("a name"));
        let all = rates(&["300"]).expect("sound");
        assert_eq!(of(&all, "www.example.org."), 100.0);
        let some = rates(&["300", "WWW.example.org.=50"]).expect("sound");
        assert_eq!((of(&some, "www.example.org."), of(&some, "api.example.org.")), (50.0, 150.0));
        let one = rates(&["www.example.org=7"]).expect("sound");
        assert_eq!((of(&one, "www.example.org."), of(&one, "api.example.org.")), (7.0, 0.0));
    }

    #[test]
    fn what_is_no_rate_is_said() {
        for text in ["many", "-1", "www.example.org=", "inf"] {
            assert_eq!(rates(&[text]), Err(RateError::Form(text.to_owned())));
        }
        assert_eq!(rates(&["1,2"]), Err(RateError::Twice));
        assert_eq!(rates(&["x.org=2"]), Err(RateError::Unknown("x.org".to_owned())));
    }

    #[test]
    fn families_count_alike_only_in_a_list() {
        let shares = |listed| weigher([300.0, 100.0], listed)([30.0, 50.0]);
        assert_eq!((shares(false), shares(true)), (0.1, 0.2));
        assert_eq!(weigher([0.0, 100.0], false)([0.0, 50.0]), 0.5);
    }
}
