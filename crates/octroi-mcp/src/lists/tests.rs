use super::*;

const LIST: &str = r#"{ "tools" : [ {"name":"a", "x":1} , {"name":"\u0062","_meta":{"k":[]}}, {"title":"nameless"},{"name":"c"} ], "ttlMs":5 }"#;

fn changed(edit: impl FnMut(&Entry<'_>) -> Edit, append: &[&str]) -> Option<String> {
    let append: Vec<_> = append.iter().map(|tool| tool.as_bytes().to_vec()).collect();
    rewrite(List::Tools, LIST.as_bytes(), edit, &append).map(|result| String::from_utf8(result).unwrap())
}

#[test]
fn reads_tools_with_their_spans() {
    let found: Vec<_> = entries(List::Tools, LIST.as_bytes()).collect();
    assert_eq!(found.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(found.iter().all(|tool| &LIST.as_bytes()[tool.span.clone()] == tool.raw));
}

#[test]
fn leaves_the_bytes_alone_when_nothing_changes() {
    assert_eq!(changed(|_| Edit::Keep, &[]), None);
    assert_eq!(rewrite(List::Tools, b"{}", |_| Edit::Drop, &[b"{}".to_vec()]), None);
    assert_eq!(rewrite(List::Tools, br#"{"tools":{"name":"a"}}"#, |_| Edit::Drop, &[]), None);
}

#[test]
fn sets_metadata_and_keeps_the_rest() {
    let price = |tool: &Entry<'_>| match &*tool.name {
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
        |name: &'static str| move |tool: &Entry<'_>| if tool.name == name { Edit::Drop } else { Edit::Keep };
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
        rewrite(List::Tools, br#"{"tools":[{"name":"a"},{"name":"b"}]}"#, |_| Edit::Drop, &[b"{}".to_vec()])
            .unwrap();
    assert_eq!(gone, br#"{"tools":[{}]}"#);
    assert_eq!(
        rewrite(List::Tools, br#"{"tools":[]}"#, |_| Edit::Keep, &[b"{}".to_vec()]).unwrap(),
        br#"{"tools":[{}]}"#
    );
}

#[test]
fn metadata_that_is_no_object_is_replaced() {
    let entries = [("k".to_owned(), b"1".to_vec())];
    assert_eq!(with_meta(br#"{"_meta":null,"a":1}"#, &entries), br#"{"_meta":{"k":1},"a":1}"#);
    assert_eq!(with_meta(b"{}", &entries), br#"{"_meta":{"k":1}}"#);
}

#[test]
fn every_list_names_its_entries_in_its_own_way() {
    for (kind, method, result) in [
        (List::Tools, "tools/list", r#"{"tools":[{"name":"a"},{"uri":"b"}]}"#),
        (List::Prompts, "prompts/list", r#"{"prompts":[{"name":"a"},{"uri":"b"}]}"#),
        (List::Resources, "resources/list", r#"{"resources":[{"name":"x","uri":"a"},{"name":"b"}]}"#),
        (
            List::Templates,
            "resources/templates/list",
            r#"{"resourceTemplates":[{"uriTemplate":"a","name":"x"},{"uri":"b"}]}"#,
        ),
    ] {
        assert_eq!(List::of_method(method), Some(kind));
        let names: Vec<_> = entries(kind, result.as_bytes()).map(|entry| entry.name.into_owned()).collect();
        assert_eq!(names, ["a"], "{method}");
        let left = rewrite(kind, result.as_bytes(), |_| Edit::Drop, &[]).unwrap();
        assert!(!String::from_utf8(left).unwrap().contains("\"a\""), "{method}");
    }
    assert_eq!(List::of_method("tools/call"), None);
}
