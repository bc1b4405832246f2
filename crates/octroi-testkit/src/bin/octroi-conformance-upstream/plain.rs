//! Tools, resources and prompts that answer at once.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, GetPromptRequestParams, GetPromptResult, ReadResourceResult,
};
use serde_json::{Value, json};

use crate::{catalog, complete};

pub(crate) const TEXT_URI: &str = "test://static-text";
pub(crate) const BINARY_URI: &str = "test://static-binary";
pub(crate) const WATCHED_URI: &str = "test://watched-resource";

/// One grey pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
/// A WAV header and no sample.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

pub(crate) const TOOLS: &[&str] = &[
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_custom_header",
    "json_schema_2020_12_tool",
];

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

fn embedded(uri: &str, mime_type: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": text}})
}

/// `tools/call` of one of [`TOOLS`].
pub(crate) fn call(request: &CallToolRequestParams) -> Result<CallToolResult, ErrorData> {
    let content = match request.name.as_ref() {
        "test_simple_text" => json!([text("A simple text response.")]),
        "test_image_content" => json!([image()]),
        "test_audio_content" => json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]),
        "test_embedded_resource" => json!([embedded("test://embedded", "text/plain", "An embedded text.")]),
        "test_multiple_content_types" => {
            json!([
                text("Three kinds:"),
                image(),
                embedded("test://mixed", "application/json", r#"{"kind":3}"#)
            ])
        }
        "test_error_handling" => {
            return complete(json!({"content": [text("This tool always fails.")], "isError": true}));
        }
        "test_custom_header" => {
            let value = request.arguments.as_ref().and_then(|arguments| arguments.get("value"));
            let Some(value) = value.and_then(Value::as_str) else {
                return Err(ErrorData::invalid_params("value must be a string", None));
            };
            json!([text(value)])
        }
        "json_schema_2020_12_tool" => json!([text("The schema is what matters.")]),
        unknown => return Err(ErrorData::invalid_params(format!("Unknown tool: {unknown}"), None)),
    };
    complete(json!({"content": content, "isError": false}))
}

/// `resources/read`
pub(crate) fn read_resource(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let template = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    let mut contents = match (uri, template) {
        (TEXT_URI | WATCHED_URI, _) => json!({"mimeType": "text/plain", "text": "The text of a resource."}),
        (BINARY_URI, _) => json!({"mimeType": "image/png", "blob": PNG}),
        (_, Some(id)) => {
            json!({"mimeType": "application/json", "text": json!({"id": id, "data": format!("of {id}")}).to_string()})
        }
        _ => return Err(ErrorData::resource_not_found("no such resource", Some(json!({"uri": uri})))),
    };
    contents["uri"] = json!(uri);
    complete(catalog::cached(json!({"contents": [contents]})))
}

/// `prompts/get`
pub(crate) fn get_prompt(request: &GetPromptRequestParams) -> Result<GetPromptResult, ErrorData> {
    let argument = |name: &str| {
        request
            .arguments
            .as_ref()
            .and_then(|given| given.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let contents = match request.name.as_str() {
        "test_simple_prompt" => vec![text("A simple prompt.")],
        "test_prompt_with_arguments" => {
            vec![text(&format!("arg1='{}', arg2='{}'", argument("arg1"), argument("arg2")))]
        }
        "test_prompt_with_embedded_resource" => {
            let uri = Some(argument("resourceUri")).filter(|uri| !uri.is_empty()).unwrap_or(TEXT_URI);
            vec![embedded(uri, "text/plain", "An embedded text."), text("Read the resource above.")]
        }
        "test_prompt_with_image" => vec![image(), text("Look at the image above.")],
        unknown => return Err(ErrorData::invalid_params(format!("Unknown prompt: {unknown}"), None)),
    };
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({"role": "user", "content": content})).collect();
    complete(json!({"messages": messages}))
}
