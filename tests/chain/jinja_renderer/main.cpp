// Renders chat templates as llama.cpp's server does, with its own Jinja engine: a list of cases on
// stdin, a list of {prompt, error} on stdout, both JSON. What the server passes beside the messages
// (common/chat.cpp) is repeated here, thinking switched on as it is by default.
#include "jinja/caps.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/runtime.h"
#include "json.h"

#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

// Of ggml, the JSON wrapper needs this alone.
extern "C" void ggml_abort(const char *, int, const char *, ...) { std::abort(); }

struct Template {
    std::string source;
    jinja::program program;
    common_json knows = common_json::object();

    explicit Template(const std::string & text) {
        jinja::lexer lexer;
        auto tokens = lexer.tokenize(text);
        program = jinja::parse_from_tokens(tokens);
        source = tokens.source;
        for (const auto & [name, value] : jinja::caps_get(program).to_map()) {
            knows[name] = value;
        }
    }
};

static std::string render(const Template & parsed, const common_json & c) {
    jinja::context context(parsed.source);
    common_json values = common_json::object();
    values["messages"] = c.at("messages");
    values["bos_token"] = c.at("bos_token");
    values["eos_token"] = c.at("eos_token");
    values["enable_thinking"] = true;
    if (c.at("add_generation_prompt").get<bool>()) {
        values["add_generation_prompt"] = true;
    }
    jinja::global_from_json(context, values, true);
    jinja::runtime runtime(context);
    const jinja::value results = runtime.execute(parsed.program);
    return jinja::runtime::gather_string_parts(results)->as_string().str();
}

int main() {
    std::string input((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
    const common_json cases = common_json::parse(input);
    std::unique_ptr<Template> parsed;
    std::string text;
    std::cout << "[";
    for (size_t i = 0; i < cases.size(); ++i) {
        const common_json c = cases.at(i);
        common_json one = common_json::object();
        try {
            const std::string wanted = c.at("template").get<std::string>();
            if (!parsed || wanted != text) {  // cases of one template follow each other
                parsed = std::make_unique<Template>(wanted);
                text = wanted;
            }
            one["prompt"] = render(*parsed, c);
            one["knows"] = parsed->knows;
        } catch (const std::exception & error) {
            one["error"] = std::string(error.what());
        }
        std::cout << (i ? ",\n" : "") << one.dump();
    }
    std::cout << "]" << std::endl;
    return 0;
}
