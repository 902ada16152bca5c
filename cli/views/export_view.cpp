#include "cli/views/export_view.h"

#include <optional>

#include <fmt/format.h>

#include "cli/console/text_table.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

std::string or_unknown(const std::optional<std::uint64_t>& number) {
  return number ? fmt::format("{}", *number) : "not counted";
}

std::string rejects_text(const std::vector<CorpusAccount>& accounts) {
  std::string text;
  for (const CorpusAccount& account : accounts)
    for (int cause = 0; cause < kRejectCauses; ++cause)
      if (const std::uint64_t count = account.records.rejected[static_cast<std::size_t>(cause)]; count > 0)
        text += fmt::format("{}: {} rejected, {}\n", account.corpus, count, name_of(static_cast<RejectCause>(cause)));
  return text.empty() ? "no record was rejected\n" : text + fmt::format("each is named in {}\n", kRejects);
}

}  // namespace

std::string account_text(const ExportManifest& manifest) {
  const bool has_rows = manifest.rows > 0;
  TextTable table({{"corpus", Align::left},
                   {"records"},
                   {has_rows ? "= in rows" : "= written"},
                   {"+ held out"},
                   {"+ filtered"},
                   {"+ skipped"},
                   {"+ rejected"},
                   {"+ tail"},
                   {"not reached"},
                   {"raw tokens"},
                   {"asked"}});
  CorpusAccount all;
  all.corpus = "all";
  all.not_reached = 0;
  const auto add = [&table](const CorpusAccount& account) {
    const RecordCounts& records = account.records;
    const auto text = [](std::uint64_t number) { return fmt::format("{}", number); };
    table.add({account.corpus, text(records.read), text(account.documents), text(records.held_out),
               text(records.filtered), text(records.skipped), text(records.rejected_records),
               text(account.tail_documents), or_unknown(account.not_reached), text(account.raw_tokens),
               account.budget ? text(*account.budget) : "all"});
  };
  for (const CorpusAccount& account : manifest.accounts) {
    add(account);
    all.records += account.records;
    all.documents += account.documents;
    all.tail_documents += account.tail_documents;
    all.raw_tokens += account.raw_tokens;
    if (account.budget) all.budget = all.budget.value_or(0) + *account.budget;
    if (!account.not_reached) {
      all.not_reached.reset();
    } else if (all.not_reached) {
      *all.not_reached += *account.not_reached;
    }
  }
  add(all);
  std::string text = fmt::format("{}: {} files, format {}, ids {}\n", manifest.identity.run, manifest.files.size(),
                                 manifest.identity.format, manifest.id_type);
  if (has_rows) text += fmt::format("{} rows of {} positions\n", manifest.rows, manifest.length);
  return text + "\n" + table.text() + "\n" + rejects_text(manifest.accounts);
}

std::string damage_text(const std::string& folder, const std::vector<Damage>& damage) {
  if (damage.empty()) return folder + ": sound\n";
  std::string text;
  for (const Damage& found : damage) text += fmt::format("{}: {}\n", found.file, found.what);
  return text;
}

std::string damage_json(const std::vector<Damage>& damage) {
  Json list = Json::array();
  for (const Damage& found : damage) list.push_back({{"file", found.file}, {"what", found.what}});
  return json_line(Json{{"damage", list}}) + "\n";
}

}  // namespace millrace
