//! Bad tables of scopes.

use super::*;

#[test]
fn scope_tables_that_are_no_tables_are_refused() {
    let scopes = "\"scopes\":[7,-2,0,1,0,7,12,1,2,1]";
    let unsigned = |found: &str| format!("expected an unsigned whole number, found `{found}`");
    refused(scopes, "\"scopes\":[7,-2,0,1,0,¦7,12,-1,2,1]", "scopes", &unsigned("-1"));
    refused(scopes, "\"scopes\":[7,-2,0,1,0,¦7,12,1,2,-4]", "scopes", &unsigned("-4"));
    refused(
        scopes,
        "\"scopes\":[¦7,-2147483649,0,1,0,7,12,1,2,1]",
        "scopes",
        "scope_id 2147483649 is larger than the format allows (2147483647)",
    );
    let syntax = |found: &str| format!("expected a whole number, found {found}");
    refused(scopes, "\"scopes\":[7,-¦,0,1,0]", "scopes", &syntax("`,`"));
    refused(scopes, "\"scopes\":[7,1¦.5,0,1,0]", "scopes", &syntax("`.`"));
    refused(scopes, "\"scopes\":[7,1¦e5,0,1,0]", "scopes", &syntax("`e`"));
    refused(scopes, "\"scopes\":[7,¦,0,1,0]", "scopes", &syntax("`,`"));
    refused(scopes, "\"scopes\":[7,1,0,1,0,¦]", "scopes", &syntax("`]`"));
    refused(scopes, "\"scopes\":[7,1,0,1 ¦0]", "scopes", "expected `,` or `]`, found `0`");
    refused(scopes, "\"scopes\":¦{}", "scopes", "expected `[`, found `{`");
    let partial = "6 numbers are no whole number of rows of 5 fields";
    refused(scopes, "\"scopes\":[7,-2,0,1,0,7¦]", "scopes", partial);
    let variables = "\"scope_context_vars\":[6,2,3]";
    refused(variables, "\"scope_context_vars\":[6,¦-2,3]", "scope_context_vars", &unsigned("-2"));
    let uses = "\"scope_uses\":[-2,0]";
    let partial = "3 numbers are no whole number of rows of 2 fields";
    refused(uses, "\"scope_uses\":[-2,0,1¦]", "scope_uses", partial);
    refused(
        uses,
        "\"scope_uses\":[¦99999999999999999999,0]",
        "scope_uses",
        "declaring_scope_id 9223372036854775807 is larger than the format allows (2147483647)",
    );
}

#[test]
fn scope_tables_that_do_not_fit_together_are_survived() {
    let with = |from: &str, to: &str, kinds: &[WarningKind]| survived(from, to, kinds).scopes.unwrap();
    let rows = "[7,-2,0,1,0,7,12,1,2,1]";
    // A script that is no node takes its variables and uses with it.
    for script in ["8", "21", "-1", "99999999999999999999"] {
        let scopes = with(rows, &format!("[{script},-2,0,1,0,7,12,0,2,1]"), &[WarningKind::Scope]);
        assert_eq!(
            (&scopes.ids[..], &scopes.variables[..], scopes.use_slots.len()),
            (&[12][..], &[2, 3][..], 1)
        );
    }
    // Depths that skip a level.
    let scopes = with(rows, "[7,-2,0,1,0,7,12,9,2,1]", &[WarningKind::Scope]);
    assert_eq!(scopes.parents[..], [Scopes::NONE, 0]);
    let scopes = with(rows, "[7,-2,4,1,0,14,12,1,2,1]", &[WarningKind::Scope]);
    assert_eq!(scopes.parents[..], [Scopes::NONE, Scopes::NONE]);
    // Counts that are too large or too small.
    let scopes = with(rows, "[7,-2,0,2,0,7,12,1,9,99999999999999]", &[WarningKind::Scope; 2]);
    assert_eq!((scopes.variables_of(0), scopes.variables_of(1), scopes.uses_of(1)), (0..2, 2..3, 0..1));
    let scopes = with(rows, "[7,-2,0,1,0,7,12,1,0,0]", &[WarningKind::Scope; 2]);
    assert_eq!((scopes.variables.len(), scopes.use_slots.len()), (1, 0));
    // Names beyond the strings, and slots that cannot be.
    with("\"scope_context_vars\":[6,", "\"scope_context_vars\":[99,", &[WarningKind::StringIndex]);
    let scopes = with("\"scope_uses\":[-2,0]", "\"scope_uses\":[-2,-7]", &[]);
    assert_eq!(scopes.use_slots[..], [u32::MAX]);
    // Fields with other names.
    assert!(survived("\"depth\"", "\"depths\"", &[WarningKind::Scope]).scopes.is_none());
    let scopes = with("\"slot_index\"", "\"slot\"", &[WarningKind::Scope]);
    assert_eq!((scopes.len(), scopes.use_slots.len()), (2, 0));
    // Any order, and tables without the first of them.
    let order = "\"scope_uses\":[-2,0],\"scope_context_vars\":[6,2,3],\"scopes\":[7,-2,0,1,0,7,12,1,2,1]";
    let whole = "\"scopes\":[7,-2,0,1,0,7,12,1,2,1],\"scope_context_vars\":[6,2,3],\"scope_uses\":[-2,0]";
    assert_eq!(with(whole, order, &[]).variables[..], [6, 2, 3]);
    assert!(survived(whole, "\"scope_uses\":[-2,0]", &[]).scopes.is_none());
    let fields = ",\"scope_fields\":[\"script_node_index\",\"scope_id\",\"depth\",\"scope_context_vars_count\",\"scope_uses_count\"]";
    assert!(survived(fields, "", &[WarningKind::Scope]).scopes.is_none());
}
