"""LiteLLM's names: its providers, and its configuration keys that imagegate does not act on.

They make an existing `config.yaml` readable: what is listed here is told as a note, once, where
any other unknown key would be taken for a typing error.
"""

from imagegate.types import AdjustPolicy


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def policy_of(drop_params: bool | None) -> AdjustPolicy | None:
    """Return what `drop_params` means here; `false` refuses what a model does not take."""
    if drop_params is None:
        return None
    return "nearest" if drop_params else "strict"


IMAGE_MODES = frozenset({"image_generation", "image_edit", "image_variation"})
RESPONSES_MODE = "responses"

# Keys of `litellm_params` that belong to features which this version does not have.
PARAMS_NOT_HERE = _words(
    """
    additional_drop_params allowed_openai_params annotation_cost_per_page api_type
    auto_router_config auto_router_config_path auto_router_default_model
    auto_router_embedding_model budget_duration cache_creation_input_token_cost caching
    complexity_router_config configurable_clientside_auth_params
    default_api_key_rpm_limit default_api_key_tpm_limit fallbacks
    hf_model_name input_cost_per_second itpm litellm_session_id litellm_trace_id
    max_budget max_file_size_mb max_retries
    merge_reasoning_content_in_choices mock_response model_info
    num_retries otpm output_cost_per_second region_name retry_policy
    rpd ssl_verify stream_timeout supports_system_message tag_regex
    timeout_policy tpd tpm use_chat_completions_api use_in_pass_through
    use_litellm_proxy use_xai_oauth
    """
)

PARAM_PREFIXES_NOT_HERE = (
    "aws_",
    "vertex_",
    "watsonx_",
    "s3_",
    "gcs_",
    "input_cost_",
    "output_cost_",
)

# Keys of its sections that look like ours and are none of them.
SECTION_KEYS_NOT_HERE = _words("callbacks")

TOP_LEVEL_NOT_HERE = _words(
    """
    a2a_agents agent_list agents assistant_settings callback_settings cost_discount_config
    default_vertex_config files_settings finetune_settings fine_tuning_settings
    include jwt_settings mcp_aliases mcp_servers mcp_tools model_group_settings policies
    policy_attachments prompts search_tools skills_settings sso_settings vector_store_registry
    vector_stores
    """
)

# Providers that LiteLLM routes to and this version does not.
PROVIDERS_NOT_HERE = _words(
    """
    ai21 ai21_chat aiml aleph_alpha amazon_nova anthropic anthropic_text anyscale assemblyai
    aws_polly azure_text baseten bedrock_converse bedrock_mantle bytez cerebras chatgpt clarifai
    cloudflare codestral cohere cohere_chat cometapi compactifai custom custom_openai dashscope
    databricks datarobot deepgram deepseek docker_model_runner dotprompt elevenlabs empower fal_ai
    featherless_ai fireworks_ai firecrawl friendliai galadriel gigachat github github_copilot
    gradient_ai groq heroku huggingface hyperbolic infinity jina_ai lambda_ai langfuse lemonade
    litellm_proxy llamafile llamagate lm_studio manus maritalk meta_llama milvus minimax mistral
    moonshot morph nano-gpt nebius nlp_cloud novita nvidia_nim oci ollama_chat oobabooga ovhcloud
    palm parallel_ai perplexity petals poe predibase publicai replicate runwayml sagemaker
    sagemaker_chat sagemaker_nova sambanova sap snowflake stability synthetic tavily
    text-completion-codestral text-completion-openai topaz triton v0 vercel_ai_gateway
    vertex_ai_beta voyage wandb watsonx watsonx_text xiaomi_mimo
    """
)

MASTER_KEYS_KNOWN = _words(
    """
    sk-1234 sk-12345 sk-123456 sk-1234567890 sk-12345678 sk-test sk-admin sk-master sk-litellm
    sk-imagegate sk-master-key sk-litellm-master-key sk-imagegate-master-key sk-1234567890abcdef
    sk-xxxxxxxxxxxxxxxx sk-your-master-key sk-your-key-here sk-change-me-please sk-changeme
    changeme change-me-please password passwordpassword master-key your-master-key
    1234567890123456 1234567890abcdef secret supersecretkey supersecretpassword
    """
)
