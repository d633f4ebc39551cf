//! Every check of a zone's records by number; `docs/zone-checks.md` says the same to operators.

use crate::diagnostics::Severity;

/// Declares the checks and what is known of each in one place.
macro_rules! checks {
    ($($name:ident $code:literal $severity:ident $what:literal,)*) => {
        /// Something that can be wrong with the records of a zone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Check {
            $(#[doc = $what] $name,)*
        }

        impl Check {
            /// Every check, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What stands in the brackets of a message: `error[Z01]`. A code is never given to
            /// another check.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Whether a zone with this is refused.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }

            /// What is wrong, in a few words.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                }
            }
        }
    };
}

checks! {
    NoSoa "Z01" Error "no SOA at the apex",
    SecondSoa "Z02" Error "two SOA records that differ",
    SoaNotAtApex "Z03" Error "an SOA that is not at the apex",
    NoNs "Z04" Error "no NS at the apex",
    Outside "Z05" Error "a record outside the zone",
    OtherClass "Z06" Error "a class other than IN",
    CnameBesideData "Z07" Error "a CNAME beside other data",
    SeveralAliases "Z08" Error "several CNAMEs or DNAMEs at one name",
    Duplicate "Z09" Warning "a record that is there already",
    TtlsDiffer "Z10" Warning "different TTLs in one RRset",
    NoAddress "Z11" Warning "a target of NS, MX or SRV that has no address in this zone",
    NoGlue "Z12" Warning "a name server below the cut it serves, without glue",
    AliasTarget "Z13" Warning "a target of NS, MX or SRV that is a CNAME",
    Hidden "Z14" Warning "data at or below a zone cut that is never answered",
    BelowDname "Z15" Error "data below a DNAME",
    Wildcard "Z16" Warning "NS or DNAME at a wildcard",
    TooLarge "Z17" Error "an RRset too large for any message",
    SteeredHidden "Z18" Error "a steered name at or below a zone cut or below a DNAME",
    SteeredBesideData "Z19" Error "a name steered to a CNAME that has other data than addresses",
    ServerNotFound "Z20" Error "a name server of the zone itself that has no address in it or is a CNAME",
    NoHostName "Z21" Warning "an address or a target of NS, MX or SRV at a name that is no host name",
}
