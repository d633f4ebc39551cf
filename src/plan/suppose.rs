//! What is supposed of health for the length of a question:
//! `region.fra=down,pool.iad=drain,member.192.0.2.10=down`, for the clients of one area
//! `region.fra=down@asia`, or of loads: `pool.iad.load=95%`.

use std::str::FromStr;

use crate::health::overrides::OverrideTarget;
use crate::health::table::{HealthTable, PoolWord, Verdict};
use crate::region::{AreaId, Family, MEMBERS_MAX, Pool, PoolId, Region, Target};
use crate::snapshot::Snapshot;
use crate::wire::name::Name;

/// Why nothing can be supposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupposeError {
    /// It is no supposition.
    #[error(
        "'{0}' supposes nothing: write region.NAME=down, pool.NAME=drain, member.ADDRESS=down or \
         pool.NAME.load=95%; the states are down, drain, degraded and up"
    )]
    Form(String),
    /// Nothing has that name.
    #[error("'{0}' names no region, pool or member of this configuration")]
    Nothing(String),
    /// No area has that name.
    #[error("there is no area '{0}' in meridian.toml")]
    NoArea(String),
}

/// A state that is supposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Lost: nothing there lives.
    Down,
    /// Emptied by an operator.
    Drain,
    /// It serves, with signs of trouble.
    Degraded,
    /// All of it lives, whatever is known.
    Up,
    /// So many thousandths of what it can take are in use.
    Load(u16),
}

impl State {
    /// The word in suppositions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Degraded => "degraded",
            Self::Up => "up",
            Self::Load(_) => "load",
        }
    }

    /// What has become of the target, in a heading.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Down => "lost",
            Self::Drain => "drained",
            Self::Degraded => "degraded",
            Self::Up => "up",
            Self::Load(_) => "at another load",
        }
    }

    /// How explanations tell of it.
    pub fn told(self) -> String {
        match self {
            Self::Down => "supposed down".to_owned(),
            Self::Drain => "supposed drained".to_owned(),
            Self::Degraded => "supposed degraded".to_owned(),
            Self::Up => "supposed up".to_owned(),
            Self::Load(permille) => {
                format!("supposed at {} % of what it can take", f64::from(permille) / 10.0)
            }
        }
    }
}

/// One target in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supposition {
    /// Region, pool or member.
    pub target: OverrideTarget,
    /// What it is supposed to be.
    pub state: State,
    /// For the clients of which area; `None` for all.
    pub area: Option<Box<str>>,
}

impl Supposition {
    /// A region that is lost.
    pub fn lost(region: &str) -> Self {
        Self { target: OverrideTarget::Region(region.into()), state: State::Down, area: None }
    }
}

impl FromStr for Supposition {
    type Err = SupposeError;

    fn from_str(text: &str) -> Result<Self, SupposeError> {
        let refused = || SupposeError::Form(text.to_owned());
        let (target, state) = text.rsplit_once('=').ok_or_else(refused)?;
        if let Some(load) = state.trim().strip_suffix('%') {
            let target = target.trim().strip_suffix(".load").ok_or_else(refused)?;
            let target: OverrideTarget = target.parse().map_err(|_| refused())?;
            let load: f64 = load.trim().parse().map_err(|_| refused())?;
            if !matches!(target, OverrideTarget::Pool(..)) || !(0.0..=1000.0).contains(&load) {
                return Err(refused());
            }
            let state = State::Load((load * 10.0).round() as u16);
            return Ok(Self { target, state, area: None });
        }
        let (state, area) = match state.split_once('@') {
            Some((state, area)) => (state, Some(area.trim())),
            None => (state, None),
        };
        if area == Some("") {
            return Err(refused());
        }
        let target = target.trim().parse().map_err(|_| refused())?;
        let states = [State::Down, State::Drain, State::Degraded, State::Up];
        let state = states.into_iter().find(|known| known.as_str() == state.trim());
        Ok(Self { target, state: state.ok_or_else(refused)?, area: area.map(Into::into) })
    }
}

impl std::fmt::Display for Supposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.state {
            State::Load(permille) => {
                write!(f, "{}.load={}%", self.target, f64::from(permille) / 10.0)?;
            }
            state => write!(f, "{}={}", self.target, state.as_str())?,
        }
        self.area.as_ref().map_or(Ok(()), |area| write!(f, "@{area}"))
    }
}

/// Several suppositions with commas between them.
///
/// # Errors
/// When one of them is none.
pub fn parse_list(text: &str) -> Result<Vec<Supposition>, SupposeError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::parse).collect()
}

/// A table in which every member of every pool lives.
pub fn all_up(pools: &[Pool], areas: usize) -> HealthTable {
    let table = HealthTable::new(pools.len(), areas);
    for (id, pool) in (0..).map(PoolId).zip(pools) {
        for family in FAMILIES {
            let live = all_members(pool, family);
            table.store_everywhere(
                id,
                family,
                PoolWord::new(Verdict::Up, PoolWord::KEEP_ALL, live),
            );
        }
    }
    table
}

/// Both families, in the order of everything here that has one entry per family.
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What is supposed of a pool, for the clients of an area or of all, and of which members where
/// not of all.
#[derive(Debug, Clone, Copy)]
struct Effect {
    pool: PoolId,
    state: State,
    members: Option<[u32; 2]>,
    area: Option<AreaId>,
}

/// Suppositions held against what there is.
#[derive(Debug, Clone, Default)]
pub struct Supposed {
    /// The wider targets first, and of those of one width the ones for all clients.
    effects: Vec<Effect>,
}

impl Supposed {
    /// Looks up what `all` speak of in a snapshot. The narrower wins: member over pool over region,
    /// and of the same an area over all clients.
    ///
    /// # Errors
    /// When a target or an area names nothing.
    pub fn of(all: &[Supposition], snapshot: &Snapshot) -> Result<Self, SupposeError> {
        Self::look_up(all, &snapshot.pools, &snapshot.regions, |name| snapshot.area(name))
    }

    /// The same where there are no areas.
    ///
    /// # Errors
    /// When a target names nothing, or an area is spoken of.
    pub fn new(
        all: &[Supposition],
        pools: &[Pool],
        regions: &[Region],
    ) -> Result<Self, SupposeError> {
        Self::look_up(all, pools, regions, |_| None)
    }

    fn look_up(
        all: &[Supposition],
        pools: &[Pool],
        regions: &[Region],
        area: impl Fn(&str) -> Option<AreaId>,
    ) -> Result<Self, SupposeError> {
        let mut sorted: Vec<&Supposition> = all.iter().collect();
        sorted.sort_by_key(|supposition| {
            let width = match supposition.target {
                OverrideTarget::Region(_) => 0,
                OverrideTarget::Pool(..) => 1,
                OverrideTarget::Member(_) => 2,
            };
            (width, supposition.area.is_some())
        });
        let mut effects = Vec::new();
        for Supposition { target, state, area: name } in sorted {
            let no_area = |name: &str| SupposeError::NoArea(name.to_owned());
            let found = name.as_deref().map(|name| area(name).ok_or_else(|| no_area(name)));
            let of_area = found.transpose()?;
            let before = effects.len();
            for (id, pool) in (0..).map(PoolId).zip(pools) {
                if let Some(members) = meant(target, pool, regions) {
                    effects.push(Effect { pool: id, state: *state, members, area: of_area });
                }
            }
            if effects.len() == before {
                return Err(SupposeError::Nothing(target.to_string()));
            }
        }
        Ok(Self { effects })
    }

    /// Whether nothing is supposed.
    pub const fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// The loads that are supposed, as parts of what pools can take.
    pub fn loads(&self) -> Vec<(PoolId, f64)> {
        let load = |of: &Effect| match of.state {
            State::Load(permille) => Some((of.pool, f64::from(permille) / 1000.0)),
            _ => None,
        };
        self.effects.iter().filter_map(load).collect()
    }

    /// What is supposed of a pool as a whole for the clients of `area`, its load aside.
    pub fn of_pool(&self, pool: PoolId, area: AreaId) -> Option<State> {
        let is_it = |of: &&Effect| {
            of.pool == pool
                && of.members.is_none()
                && of.area.is_none_or(|of| of == area)
                && !matches!(of.state, State::Load(_))
        };
        self.effects.iter().rev().find(is_it).map(|of| of.state)
    }

    /// Puts all of it into a table.
    pub fn apply(&self, table: &HealthTable, pools: &[Pool]) {
        for &Effect { pool: id, state, members, area: only } in &self.effects {
            let Some(pool) = pools.get(id.0 as usize) else { continue };
            if let State::Load(permille) = state {
                let load = f64::from(permille) / 1000.0;
                table.loads.set(id, table.loads.of(id).supposed(load));
                continue;
            }
            for (at, family) in FAMILIES.into_iter().enumerate() {
                let areas = AreaId::all(table.areas());
                for area in areas.filter(|area| only.is_none_or(|only| only == *area)) {
                    let word = table.word(id, family, area);
                    let next = match members {
                        None => of_pool(word, state, all_members(pool, family)),
                        Some(members) => of_members(word, state, members[at]),
                    };
                    table.store(id, family, area, next);
                }
            }
        }
    }
}

/// The word of a pool of which something is supposed as a whole.
const fn of_pool(word: PoolWord, state: State, all: u32) -> PoolWord {
    match state {
        // What is out already has its own reason.
        State::Down if !word.is_eligible() => word,
        State::Down => PoolWord::new(Verdict::Down, PoolWord::KEEP_ALL, 0),
        State::Drain => PoolWord::new(Verdict::Draining, PoolWord::KEEP_ALL, word.live()),
        State::Degraded if !word.is_eligible() => word,
        State::Degraded => PoolWord::new(Verdict::Degraded, word.keep(), word.live()),
        State::Up => PoolWord::new(Verdict::ForcedUp, PoolWord::KEEP_ALL, all),
        State::Load(_) => word,
    }
}

/// The word of a pool of whose members something is supposed.
const fn of_members(word: PoolWord, state: State, meant: u32) -> PoolWord {
    if meant == 0 {
        return word;
    }
    let live = match state {
        State::Down | State::Drain => word.live() & !meant,
        State::Degraded | State::Load(_) => return word,
        State::Up => word.live() | meant,
    };
    let verdict = match (state, word.verdict()) {
        (_, held @ (Verdict::Draining | Verdict::ForcedDown | Verdict::Maintenance)) => held,
        (State::Down, _) if live == 0 => Verdict::Down,
        (State::Drain, _) if live == 0 => Verdict::Draining,
        (State::Down, _) => Verdict::Degraded,
        (State::Up, Verdict::Down) => Verdict::Degraded,
        (_, verdict) => verdict,
    };
    PoolWord::new(verdict, word.keep(), live)
}

/// Whether a target means a pool, and which of its members where not all of them.
fn meant(target: &OverrideTarget, pool: &Pool, regions: &[Region]) -> Option<Option<[u32; 2]>> {
    let whole = match target {
        OverrideTarget::Region(name) => {
            regions.get(usize::from(pool.region.0)).is_some_and(|region| region.name == *name)
        }
        OverrideTarget::Pool(name, None) => pool.name == *name,
        OverrideTarget::Pool(name, Some(origin)) => {
            pool.name == *name && origin.parse::<Name>().is_ok_and(|origin| origin == pool.origin)
        }
        OverrideTarget::Member(name) => {
            let members = members_named(name, pool);
            return (members != [0; 2]).then_some(Some(members));
        }
    };
    whole.then_some(None)
}

/// The members of a pool that have this address or name, as bits.
fn members_named(name: &str, pool: &Pool) -> [u32; 2] {
    let is_name = |other: &Name| name.parse::<Name>().is_ok_and(|name| name == *other);
    match &pool.target {
        Target::Vips(vips) => [
            bits(vips.v4.iter().map(|member| name.parse() == Ok(member.address))),
            bits(vips.v6.iter().map(|member| name.parse() == Ok(member.address))),
        ],
        Target::Cname(target) => [u32::from(is_name(target)); 2],
        Target::Delegate(servers) => {
            [u32::from(servers.len() == 1 && servers.iter().all(|server| is_name(&server.name))); 2]
        }
    }
}

fn bits(members: impl Iterator<Item = bool>) -> u32 {
    members.take(MEMBERS_MAX).zip(0..).fold(0, |bits, (is, at)| bits | u32::from(is) << at)
}

fn all_members(pool: &Pool, family: Family) -> u32 {
    match (&pool.target, family) {
        (Target::Vips(vips), Family::V4) => bits(vips.v4.iter().map(|_| true)),
        (Target::Vips(vips), Family::V6) => bits(vips.v6.iter().map(|_| true)),
        (Target::Cname(_) | Target::Delegate(_), _) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::{Member, RegionId, Vips};

    fn region(name: &str) -> Region {
        Region { name: name.into(), location: None, country: None }
    }

    fn pool(name: &str, region: u16, addresses: &[&str]) -> Pool {
        let member = |text: &&str| Member { address: text.parse().expect("IPv4"), weight: 1 };
        let v4 = addresses.iter().map(member).collect();
        let target = Target::Vips(Vips { v4, v6: Vec::new() });
        let origin = "example.org.".parse().expect("a name");
        let (name, region) = (name.into(), RegionId(region));
        Pool { name, origin, region, target, answers: 1, ease: Default::default(), capacity: None }
    }

    fn supposed(text: &str) -> Result<Vec<PoolWord>, SupposeError> {
        let regions = [region("fra"), region("iad")];
        let pools = [
            pool("web", 0, &["192.0.2.1", "192.0.2.2"]),
            pool("mail", 0, &["192.0.2.3"]),
            pool("far", 1, &["192.0.2.1"]),
        ];
        let all = Supposed::new(&parse_list(text)?, &pools, &regions)?;
        let table = all_up(&pools, 0);
        all.apply(&table, &pools);
        Ok((0..3).map(|id| table.word(PoolId(id), Family::V4, AreaId::WORLD)).collect())
    }

    fn verdicts(text: &str) -> Vec<Verdict> {
        supposed(text).expect("sound").into_iter().map(PoolWord::verdict).collect()
    }

    #[test]
    fn a_region_is_all_its_pools() {
        use Verdict::{Down, Draining, ForcedUp, Up};
        assert_eq!(verdicts(""), [Up, Up, Up]);
        assert_eq!(verdicts("region.fra=down"), [Down, Down, Up]);
        assert_eq!(verdicts("pool.far@example.org=drain"), [Up, Up, Draining]);
        assert_eq!(verdicts("pool.mail=up, region.fra=down"), [Down, ForcedUp, Up]);
    }

    #[test]
    fn a_member_is_one_bit_wherever_it_stands() {
        let words = supposed("member.192.0.2.1=down").expect("sound");
        assert_eq!((words[0].live(), words[0].verdict()), (0b10, Verdict::Degraded));
        assert_eq!((words[2].live(), words[2].is_eligible()), (0, false));
        assert_eq!(words[1].live(), 1);
    }

    #[test]
    fn a_load_is_of_a_pool() {
        let all = parse_list("pool.web.load=95%, pool.web@example.org.load=7.5%").expect("sound");
        let told: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["pool.web.load=95%", "pool.web@example.org.load=7.5%"]);
        assert_eq!(all[0].state.told(), "supposed at 95 % of what it can take");
        let pools = [pool("web", 0, &["192.0.2.1"])];
        let supposed = Supposed::new(&all[..1], &pools, &[region("fra")]).expect("a pool");
        let table = all_up(&pools, 0);
        supposed.apply(&table, &pools);
        assert_eq!(table.loads.of(PoolId(0)).permille(), Some(950));
        assert_eq!(table.word(PoolId(0), Family::V4, AreaId::WORLD).verdict(), Verdict::Up);
        assert_eq!(
            (supposed.of_pool(PoolId(0), AreaId::WORLD), supposed.loads()),
            (None, vec![(PoolId(0), 0.95)])
        );
    }

    #[test]
    fn what_is_nothing_is_said() {
        let loads =
            ["pool.web=95%", "region.fra.load=95%", "pool.web.load=-1%", "pool.web.load=x%"];
        for text in
            ["fra=down", "region.fra", "region.fra=gone", "pool.fra.load"].iter().chain(&loads)
        {
            assert_eq!(supposed(text), Err(SupposeError::Form((*text).to_owned())), "{text}");
        }
        for text in ["region.nrt", "pool.x@other.org", "member.192.0.2.9"] {
            let nothing = supposed(&format!("{text}=down"));
            assert_eq!(nothing, Err(SupposeError::Nothing(text.to_owned())));
        }
    }
}
