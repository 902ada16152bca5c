#pragma once

namespace CLI {
class App;
}

namespace millrace {

/// One function per sub-command, in the file of that name: declares its options on `app` and sets the callback that
/// runs it. Callbacks write results to stdout, progress and log to stderr, and throw on failure; main turns ConfigError
/// into exit code 2, Interrupted into 130, everything else into 1.
void add_sample(CLI::App& app);
void add_index(CLI::App& app);
void add_vocab(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_mix(CLI::App& app);
void add_mix_diff(CLI::App& mix);
void add_keys(CLI::App& app);
void add_inspect(CLI::App& app);
void add_trace(CLI::App& app);
void add_preprocess(CLI::App& app);
void add_init(CLI::App& app);
void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_generate(CLI::App& app);
void add_logits(CLI::App& app);
void add_export(CLI::App& app);
void add_import(CLI::App& app);
void add_report(CLI::App& app);
void add_plan_cluster(CLI::App& app);
void add_status(CLI::App& app);
void add_stop(CLI::App& app);

}  // namespace millrace
