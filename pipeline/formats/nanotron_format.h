#pragma once

#include "pipeline/formats/document_writer.h"

namespace millrace {

/// datatrove's .ds, as nanotron's Nanoset reads it: CORPUS/00000_unshuffled.ds holds all ids back to back, .ds.index
/// the end of each document in ids (u64, no count, no leading 0), .ds.metadata three lines of text. Ids are u16 up to
/// 65,536 entries, else u32.
std::unique_ptr<DocumentWriter> make_nanotron_writer(StagedFolder& folder, const DocumentFiles& files);
std::vector<Damage> damage_of_nanotron(const std::filesystem::path& folder, const WrittenCorpus& corpus,
                                       const IdRules& rules);

}  // namespace millrace
