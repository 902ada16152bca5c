# cmake -DOUT=FILE.cpp -DFILES=A,B,... -P embed_text.cmake: writes a source that defines embedded_text (cli/console/embedded_text.h)
# with the files' texts. Raw string literals compile fast; a file may be any text that does not contain )millrace".
string(REPLACE "," ";" files "${FILES}")
set(entries "")
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME)
  file(READ "${file}" text)
  string(APPEND entries "    if (name == \"${name}\") return R\"millrace(${text})millrace\";\n")
endforeach()
file(WRITE "${OUT}" "#include \"cli/console/embedded_text.h\"

namespace millrace {

std::string_view embedded_text([[maybe_unused]] std::string_view name) {
${entries}  return {};
}

}  // namespace millrace
")
