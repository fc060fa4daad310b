//! ApiVersions (18): what this broker speaks. Source: `ApiVersionsRequest`, `ApiVersionsResponse`, KIP-511, KIP-584.

use super::text::text;
use crate::kafka::dispatch::Call;
use crate::kafka::pending::{Answer, Begun};
use milena_metadata::MetadataImage;
use milena_metadata::plan::{FEATURES, FeatureRange};
use milena_types::ErrorCode;
use milena_wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use milena_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use milena_wire::{ApiKey, encode_unsupported_api_versions};

pub(in crate::kafka) async fn handle(call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if call.version >= 3
        && !(is_sane(&request.client_software_name) && is_sane(&request.client_software_version))
    {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    let response = ApiVersionsResponse::default().with_api_keys(served());
    if call.version < 3 {
        return response;
    }
    let image = call.peer.ctx.image();
    response
        .with_supported_features(supported(call.version))
        .with_finalized_features_epoch(i64::try_from(image.version.0).unwrap_or(i64::MAX))
        .with_finalized_features(finalized(&image))
}

/// The answer to a version that is not served: the client asks again with one that is.
pub(in crate::kafka) fn unsupported(correlation_id: i32) -> Begun {
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(served());
    let answer = match encode_unsupported_api_versions(correlation_id, &response) {
        Ok(frame) => Answer::Frame(frame),
        Err(error) => Answer::Close(error.to_string()),
    };
    Begun {
        answer: Box::pin(std::future::ready(answer)),
        pipelined: false,
    }
}

fn served() -> Vec<ApiVersion> {
    let row = |api: &ApiKey| {
        ApiVersion::default()
            .with_api_key(api.code())
            .with_min_version(api.version_min_advertised())
            .with_max_version(api.version_max())
    };
    ApiKey::ALL.iter().map(row).collect()
}

fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    // Clients up to version 3 do not survive a lowest level of 0 (KAFKA-17492).
    let shown = FEATURES.iter().filter(|feature| version >= 4 || feature.min > 0);
    let row = |feature: &FeatureRange| {
        SupportedFeatureKey::default()
            .with_name(text(feature.name))
            .with_min_version(feature.min)
            .with_max_version(feature.max)
    };
    shown.map(row).collect()
}

fn finalized(image: &MetadataImage) -> Vec<FinalizedFeatureKey> {
    let set = image.features.iter().filter(|(_, level)| **level > 0);
    let row = |(name, level): (&String, &i16)| {
        let key = FinalizedFeatureKey::default().with_name(text(name.as_str()));
        key.with_min_version_level(*level).with_max_version_level(*level)
    };
    set.map(row).collect()
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_sane(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_follow_kafkas_pattern() {
        for good in ["apache-kafka-java", "librdkafka", "4.1.0", "a"] {
            assert!(is_sane(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a\n", "é"] {
            assert!(!is_sane(bad), "{bad:?}");
        }
    }

    #[test]
    fn produce_is_advertised_from_zero() {
        let produce = &served()[0];
        assert_eq!(
            (produce.api_key, produce.min_version, produce.max_version),
            (0, 0, 13)
        );
        assert!(supported(3).iter().all(|feature| feature.min_version > 0));
        assert_eq!(supported(4).len(), FEATURES.len());
    }
}
