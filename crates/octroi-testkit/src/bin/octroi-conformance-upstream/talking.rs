//! Tools that speak with the client, or tell others, while they run.

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, LoggingLevel, LoggingMessageNotificationParam,
    ProgressNotificationParam,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::handler::Upstream;
use crate::{complete, typed};

pub(crate) const TOOLS: &[&str] = &[
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_logging_tool",
    "test_sampling",
    "test_elicitation",
    "test_list_roots",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_reconnection",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
];

/// Between two notifications, so that the suite can tell a stream from one burst.
const PAUSE: Duration = Duration::from_millis(50);

fn said(text: impl Into<String>) -> Result<CallToolResult, ErrorData> {
    complete(json!({"content": [{"type": "text", "text": text.into()}], "isError": false}))
}

fn failed(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// `tools/call` of one of [`TOOLS`]; `None` for any other tool.
pub(crate) async fn call(
    upstream: &Upstream,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Option<Result<CallToolResult, ErrorData>> {
    let argument = |name: &str| {
        request
            .arguments
            .as_ref()
            .and_then(|given| given.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    Some(match request.name.as_ref() {
        "test_tool_with_logging" => log_three(context).await,
        "test_tool_with_progress" => report_progress(context).await,
        "test_logging_tool" => log_if_asked(context).await,
        "test_sampling" => sample(context, argument("prompt")).await,
        "test_list_roots" => list_roots(context).await,
        "test_elicitation" => elicit(context, argument("message"), contact_form()).await,
        "test_elicitation_sep1034_defaults" => elicit(context, "All have defaults.", defaults_form()).await,
        "test_elicitation_sep1330_enums" => elicit(context, "All are choices.", enums_form()).await,
        "test_missing_capability" => require_sampling(context),
        "test_reconnection" => {
            tokio::time::sleep(2 * PAUSE).await;
            said("Still here.")
        }
        "test_trigger_tool_change" => {
            for subscriber in upstream.subscribers() {
                let _ = subscriber.notify_tool_list_changed().await;
            }
            said("Told.")
        }
        "test_trigger_prompt_change" => {
            for subscriber in upstream.subscribers() {
                let _ = subscriber.notify_prompt_list_changed().await;
            }
            said("Told.")
        }
        _ => return None,
    })
}

async fn log(context: &RequestContext<RoleServer>, level: LoggingLevel, text: &str) -> Result<(), ErrorData> {
    let entry = LoggingMessageNotificationParam::new(level, json!(text)).with_logger("fixture");
    context.peer.notify_logging_message(entry).await.map_err(failed)
}

async fn log_three(context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    for text in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        log(context, LoggingLevel::Info, text).await?;
        tokio::time::sleep(PAUSE).await;
    }
    said("Logged three times.")
}

/// MCP 2026-07-28: only a request that names a level is logged about.
async fn log_if_asked(context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    if let Some(level) = context.meta.log_level() {
        log(context, level, "asked for").await?;
    }
    said("Logged if asked to.")
}

async fn report_progress(context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    for percent in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, percent).with_total(100.0);
            context.peer.notify_progress(progress).await.map_err(failed)?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    said("Done.")
}

async fn sample(context: &RequestContext<RoleServer>, prompt: &str) -> Result<CallToolResult, ErrorData> {
    let request = json!({
        "messages": [{"role": "user", "content": {"type": "text", "text": prompt}}],
        "maxTokens": 100,
    });
    let sampled = context.peer.create_message(typed(request)?).await.map_err(failed)?;
    let sampled = serde_json::to_value(sampled).map_err(failed)?;
    said(format!(
        "The model said: {}",
        sampled.pointer("/content/text").and_then(Value::as_str).unwrap_or("nothing")
    ))
}

async fn list_roots(context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    let listed = context.peer.list_roots().await.map_err(failed)?;
    said(format!("The roots are: {}", serde_json::to_string(&listed.roots).map_err(failed)?))
}

async fn elicit(
    context: &RequestContext<RoleServer>,
    message: &str,
    form: Value,
) -> Result<CallToolResult, ErrorData> {
    let request = json!({"mode": "form", "message": message, "requestedSchema": form});
    let elicited = context.peer.create_elicitation(typed(request)?).await.map_err(failed)?;
    said(format!("The user answered: {}", serde_json::to_string(&elicited).map_err(failed)?))
}

fn require_sampling(context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
    if context.meta.client_capabilities().is_some_and(|declared| declared.sampling.is_some()) {
        return said("Sampling is there.");
    }
    Err(ErrorData::missing_required_client_capability(
        ClientCapabilities::builder().enable_sampling().build(),
    ))
}

fn contact_form() -> Value {
    json!({
        "type": "object",
        "properties": {"username": {"type": "string"}, "email": {"type": "string"}},
        "required": ["username", "email"],
    })
}

/// Every primitive with its default (SEP-1034).
fn defaults_form() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true},
    }})
}

/// Every form of choice (SEP-1330).
fn enums_form() -> Value {
    let plain = json!(["option1", "option2", "option3"]);
    let titled = json!([
        {"const": "value1", "title": "First"},
        {"const": "value2", "title": "Second"},
        {"const": "value3", "title": "Third"},
    ]);
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": plain, "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }})
}
