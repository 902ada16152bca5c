#pragma once

#include "pipeline/formats/document_writer.h"

namespace millrace {

/// OLMo's and dolma's numpy files: CORPUS/part-00-NNNNN.npy holds ids without any header, part-00-NNNNN.csv.gz a line
/// "start,end,id,src,loc" a document. Ids are u16 up to 65,536 entries, else u32. A part is closed before the document
/// that would make it longer than DocumentFiles::part_bytes.
std::unique_ptr<DocumentWriter> make_olmo_writer(StagedFolder& folder, const DocumentFiles& files);
std::vector<Damage> damage_of_olmo(const std::filesystem::path& folder, const WrittenCorpus& corpus,
                                   const IdRules& rules);

}  // namespace millrace
