//! OAuth 2.1 access tokens: verification, provider presets, resource metadata, challenges.
