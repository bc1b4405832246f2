use super::*;

const LIST: &str = r#"{ "tools" : [ {"name":"a", "x":1} , {"name":"\u0062","_meta":{"k":[]}}, {"title":"nameless"},{"name":"c"} ], "ttlMs":5 }"#;

fn changed(edit: impl FnMut(&Tool<'_>) -> Edit, append: &[&str]) -> Option<String> {
    let append: Vec<_> = append.iter().map(|tool| tool.as_bytes().to_vec()).collect();
    rewrite(LIST.as_bytes(), edit, &append).map(|result| String::from_utf8(result).unwrap())
}

#[test]
fn reads_tools_with_their_spans() {
    let found: Vec<_> = tools(LIST.as_bytes()).collect();
    assert_eq!(found.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(found.iter().all(|tool| &LIST.as_bytes()[tool.span.clone()] == tool.raw));
}

#[test]
fn leaves_the_bytes_alone_when_nothing_changes() {
    assert_eq!(changed(|_| Edit::Keep, &[]), None);
    assert_eq!(rewrite(b"{}", |_| Edit::Drop, &[b"{}".to_vec()]), None);
    assert_eq!(rewrite(br#"{"tools":{"name":"a"}}"#, |_| Edit::Drop, &[]), None);
}

#[test]
fn sets_metadata_and_keeps_the_rest() {
    let price = |tool: &Tool<'_>| match &*tool.name {
        "a" | "b" => Edit::Meta(vec![("dev.octroi/price".to_owned(), b"3000".to_vec())]),
        _ => Edit::Keep,
    };
    assert_eq!(
        changed(price, &[]).unwrap(),
        concat!(
            r#"{ "tools" : [ {"name":"a", "x":1,"_meta":{"dev.octroi/price":3000}} , "#,
            r#"{"name":"\u0062","_meta":{"k":[],"dev.octroi/price":3000}}, {"title":"nameless"},{"name":"c"} ], "ttlMs":5 }"#
        )
    );
}

#[test]
fn drops_and_appends() {
    let drop_named =
        |name: &'static str| move |tool: &Tool<'_>| if tool.name == name { Edit::Drop } else { Edit::Keep };
    assert_eq!(
        changed(drop_named("c"), &[r#"{"name":"d"}"#, r#"{"name":"e"}"#]).unwrap(),
        LIST.replace(r#",{"name":"c"} ]"#, r#" ,{"name":"d"},{"name":"e"}]"#)
    );
    assert_eq!(changed(drop_named("a"), &[]).unwrap(), LIST.replace(r#"{"name":"a", "x":1} ,"#, ""));
    assert_eq!(
        changed(|_| Edit::Drop, &[]).unwrap(),
        r#"{ "tools" : [   {"title":"nameless"} ], "ttlMs":5 }"#
    );
    let gone =
        rewrite(br#"{"tools":[{"name":"a"},{"name":"b"}]}"#, |_| Edit::Drop, &[b"{}".to_vec()]).unwrap();
    assert_eq!(gone, br#"{"tools":[{}]}"#);
    assert_eq!(rewrite(br#"{"tools":[]}"#, |_| Edit::Keep, &[b"{}".to_vec()]).unwrap(), br#"{"tools":[{}]}"#);
}

#[test]
fn metadata_that_is_no_object_is_replaced() {
    let entries = [("k".to_owned(), b"1".to_vec())];
    assert_eq!(with_meta(br#"{"_meta":null,"a":1}"#, &entries), br#"{"_meta":{"k":1},"a":1}"#);
    assert_eq!(with_meta(b"{}", &entries), br#"{"_meta":{"k":1}}"#);
}
