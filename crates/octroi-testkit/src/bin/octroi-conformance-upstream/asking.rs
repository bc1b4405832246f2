//! Tools and a prompt that ask the client for input before they answer (MCP 2026-07-28 patterns/mrtr).

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, InputRequest, InputRequests, InputRequiredResult, InputResponses, RequestStateCodec,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value, json};

use crate::{complete, typed};

/// A public fixture needs no secret key.
const KEY: &[u8] = b"a fixture's key, the same in every run";

pub(crate) const PROMPT: &str = "test_input_required_result_prompt";

pub(crate) const TOOLS: &[&str] = &[
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
    "test_streaming_elicitation",
];

/// Asks, and knows its own questions again by a sealed `requestState`.
#[derive(Clone)]
pub(crate) struct Asking(RequestStateCodec);

impl Default for Asking {
    fn default() -> Self {
        Self(RequestStateCodec::new_unchecked(KEY))
    }
}

/// What is asked, under the key its answer comes back with.
fn question(key: &str) -> Value {
    let form = |message: &str, field: &str, kind: &str| {
        json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": {
            "type": "object", "properties": {field: {"type": kind}}, "required": [field],
        }}})
    };
    let sample = |prompt: &str| {
        json!({"method": "sampling/createMessage", "params": {
            "messages": [{"role": "user", "content": {"type": "text", "text": prompt}}], "maxTokens": 64,
        }})
    };
    match key {
        "capital_question" => sample("Which city is the capital of France?"),
        "client_roots" => json!({"method": "roots/list"}),
        "confirm" => form("Shall it go on?", "ok", "boolean"),
        "greeting" => sample("Write a greeting."),
        "step1" => form("First: your name?", "name", "string"),
        "step2" => form("Second: your colour?", "color", "string"),
        "streaming_elicitation" => form("A value?", "value", "string"),
        "user_context" => form("In what context?", "context", "string"),
        _ => form("Your name?", "name", "string"),
    }
}

/// The input requests under these keys.
pub(crate) fn questions(keys: &[&str]) -> Result<InputRequests, ErrorData> {
    keys.iter().map(|key| Ok(((*key).to_owned(), typed::<InputRequest>(question(key))?))).collect()
}

/// An answer under this key, if it is one: anything but an object counts as missing and is asked for again.
pub(crate) fn answer<'a>(given: Option<&'a InputResponses>, key: &str) -> Option<&'a Map<String, Value>> {
    given?.get(key)?.as_object()
}

/// The text in this field of an answered form.
pub(crate) fn field<'a>(answer: &'a Map<String, Value>, name: &str) -> &'a str {
    answer.get("content").and_then(|content| content.get(name)).and_then(Value::as_str).unwrap_or_default()
}

fn said(text: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    complete::<CallToolResult>(json!({"content": [{"type": "text", "text": text.into()}], "isError": false}))
        .map(Into::into)
}

fn asked(keys: &[&str], state: Option<String>) -> Result<CallToolResponse, ErrorData> {
    Ok(InputRequiredResult::new(Some(questions(keys)?), state).into())
}

impl Asking {
    pub(crate) fn knows(&self, tool: &str) -> bool {
        TOOLS.contains(&tool)
    }

    pub(crate) fn call(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = request.input_responses.as_ref();
        let state = request.request_state.as_deref().map(|sealed| self.opened(sealed)).transpose()?;
        match request.name.trim_start_matches("test_input_required_result_") {
            "elicitation" => match answer(given, "user_name") {
                Some(form) => said(format!("Hello, {}!", field(form, "name"))),
                None => asked(&["user_name"], None),
            },
            "sampling" => match answer(given, "capital_question") {
                Some(sampled) => said(format!("The model said: {}", field(sampled, "text"))),
                None => asked(&["capital_question"], None),
            },
            "list_roots" => match answer(given, "client_roots") {
                Some(roots) => said(format!("The roots are: {}", json!(roots.get("roots")))),
                None => asked(&["client_roots"], None),
            },
            "request_state" | "tampered_state" => match state {
                Some(_) => said("state-ok"),
                None => asked(&["confirm"], Some(self.sealed(1)?)),
            },
            "multiple_inputs" => {
                let keys = ["user_name", "greeting", "client_roots"];
                if state.is_some() && keys.iter().all(|key| answer(given, key).is_some()) {
                    return said("All three came.");
                }
                asked(&keys, Some(self.sealed(1)?))
            }
            "multi_round" => match state {
                None => asked(&["step1"], Some(self.sealed(1)?)),
                Some(1) => asked(&["step2"], Some(self.sealed(2)?)),
                Some(_) => said("Both rounds are done."),
            },
            "capabilities" => capabilities(given, context),
            _ => asked(&["streaming_elicitation"], None),
        }
    }

    /// A prompt that asks first; `None` when another prompt is meant.
    pub(crate) fn get_prompt(
        &self,
        request: &GetPromptRequestParams,
    ) -> Option<Result<GetPromptResponse, ErrorData>> {
        if request.name != PROMPT {
            return None;
        }
        let Some(form) = answer(request.input_responses.as_ref(), "user_context") else {
            return Some(
                questions(&["user_context"])
                    .map(|asked| InputRequiredResult::from_input_requests(asked).into()),
            );
        };
        let text = format!("In the context of {}.", field(form, "context"));
        let messages = json!([{"role": "user", "content": {"type": "text", "text": text}}]);
        Some(complete::<GetPromptResult>(json!({"messages": messages})).map(Into::into))
    }

    fn sealed(&self, round: u64) -> Result<String, ErrorData> {
        self.0.seal_json(&round).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    /// The round a `requestState` was sealed in; it comes from the client, so nothing else of it is believed.
    fn opened(&self, sealed: &str) -> Result<u64, ErrorData> {
        self.0
            .open_json(sealed)
            .map_err(|_| ErrorData::invalid_params("requestState was not sealed here", None))
    }
}

/// Asks only for what the client declared it can answer.
fn capabilities(
    given: Option<&InputResponses>,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let declared = context.meta.client_capabilities().unwrap_or_default();
    let can = [
        (declared.elicitation.is_some(), "user_name"),
        (declared.sampling.is_some(), "greeting"),
        (declared.roots.is_some(), "client_roots"),
    ];
    let keys: Vec<&str> = can.into_iter().filter(|(can, _)| *can).map(|(_, key)| key).collect();
    if given.is_some() || keys.is_empty() {
        return said("Nothing more to ask.");
    }
    asked(&keys, None)
}
