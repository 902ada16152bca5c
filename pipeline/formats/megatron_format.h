#pragma once

#include "pipeline/formats/document_writer.h"

namespace millrace {

/// Megatron-Core's IndexedDataset: CORPUS_text_document.bin holds all ids back to back, CORPUS_text_document.idx each
/// document's length and place; a document is one sequence. Ids are u16 below 65,500 entries, else i32: there is no
/// u32. The index is laid out as docs/preprocess.md says.
IdType megatron_id_type(std::uint64_t vocabulary_size);
std::unique_ptr<DocumentWriter> make_megatron_writer(StagedFolder& folder, const DocumentFiles& files);
std::vector<Damage> damage_of_megatron(const std::filesystem::path& folder, const WrittenCorpus& corpus,
                                       const IdRules& rules);

}  // namespace millrace
