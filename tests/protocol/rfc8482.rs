//! RFC 8482: minimal answers to ANY.

use crate::server;

#[test]
fn any_gets_one_rrset() {
    let answers = server().answers("mail.example.org", "ANY");
    assert_eq!(answers.len(), 1, "{answers:?}");
}
