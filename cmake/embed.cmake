# Files compiled into the library: kua_embed(LAYER name=file ...) adds an array kua__assets[] (eval/assets.h) to a layer.
# The same script, run with -P, writes the C file; so it is made anew whenever one of the files changes.

if(CMAKE_SCRIPT_MODE_FILE)
    set(code "#include \"eval/assets.h\"\n")
    set(table "")
    foreach(pair ${PAIRS})
        string(REGEX MATCH "^([^=]+)=(.+)$" _ "${pair}")
        set(name ${CMAKE_MATCH_1})
        file(READ ${CMAKE_MATCH_2} hex HEX)
        string(LENGTH "${hex}" digits)
        math(EXPR size "${digits} / 2")
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
        string(APPEND code "static const unsigned char ${name}[] = {${bytes}0};\n")
        string(APPEND table "    {\"${name}\", ${name}, ${size}},\n")
    endforeach()
    file(WRITE ${OUT} "${code}const kua__asset kua__assets[] = {\n${table}    {0},\n};\n")
    return()
endif()

set(KUA_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(kua_embed layer)
    if(NOT TARGET kua_${layer})
        return()
    endif()
    set(out ${CMAKE_BINARY_DIR}/embed/${layer}_assets.c)
    set(files "")
    foreach(pair ${ARGN})
        string(REGEX REPLACE "^[^=]+=" "" file "${pair}")
        list(APPEND files ${file})
    endforeach()
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/embed)
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -DOUT=${out} "-DPAIRS=${ARGN}" -P ${KUA_EMBED_SCRIPT}
        DEPENDS ${files} ${KUA_EMBED_SCRIPT} VERBATIM COMMENT "Embedding files of layer ${layer}")
    target_sources(kua_${layer} PRIVATE ${out})
endfunction()
