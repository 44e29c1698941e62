/*-------------------------------------------------------------------------
 *
 * identifier_list.h
 *	  The identifiers, each with what is known about it.
 *
 * The order is that of the bits of tiktok.event.match_keys: append only.
 * Names and postal addresses are fields of web events only.
 *
 * Included several times, so there is no guard.  The includer defines
 * TTE_IDENTIFIER(symbol, name, sources, hashed, longest, rule): sources that
 * take it; is its hash sent?; its longest value in characters, 0: it is cut;
 * the rule of its normalised form.
 *
 *-------------------------------------------------------------------------
 */
TTE_IDENTIFIER(TTE_EMAIL, "email", ALL, true, TTE_MAX_EMAIL,
			   "in lower case, without what stands around it")
TTE_IDENTIFIER(TTE_PHONE, "phone", ALL, true, 128,
			   "plus sign, calling code and number")
TTE_IDENTIFIER(TTE_EXTERNAL_ID, "external_id", WEB | CRM, true, 512,
			   "case and everything else kept")
TTE_IDENTIFIER(TTE_TTCLID, "ttclid", WEB, false, 1000,
			   "kept as it is")
TTE_IDENTIFIER(TTE_TTP, "ttp", WEB, false, 1000,
			   "kept as it is")
TTE_IDENTIFIER(TTE_IP, "ip", WEB | APP, false, 512,
			   "a public address, of several the first, without port and mask")
TTE_IDENTIFIER(TTE_USER_AGENT, "user_agent", WEB | APP, false, 0,
			   "kept as it is, up to 2048 bytes")
TTE_IDENTIFIER(TTE_LOCALE, "locale", WEB | APP, false, 35,
			   "a language, with or without a region")
TTE_IDENTIFIER(TTE_IDFA, "idfa", APP, false, 64,
			   "in upper case")
TTE_IDENTIFIER(TTE_IDFV, "idfv", APP, false, 64,
			   "kept as it is")
TTE_IDENTIFIER(TTE_GAID, "gaid", APP, false, 64,
			   "in lower case")
TTE_IDENTIFIER(TTE_ATT_STATUS, "att_status", APP, false, 32,
			   "one of TikTok's words")
TTE_IDENTIFIER(TTE_FIRST_NAME, "first_name", WEB, true, TTE_MAX_NAME,
			   "in lower case, without punctuation, one blank between words")
TTE_IDENTIFIER(TTE_LAST_NAME, "last_name", WEB, true, TTE_MAX_NAME,
			   "in lower case, without punctuation, one blank between words")
TTE_IDENTIFIER(TTE_CITY, "city", WEB, false, TTE_MAX_NAME,
			   "letters a to z and digits, without accents and blanks")
TTE_IDENTIFIER(TTE_STATE, "state", WEB, false, TTE_MAX_NAME,
			   "letters a to z and digits; a state of the USA by its two letters")
TTE_IDENTIFIER(TTE_COUNTRY, "country", WEB, false, 128,
			   "the two letters of ISO 3166 in lower case")
TTE_IDENTIFIER(TTE_ZIP_CODE, "zip_code", WEB, true, 64,
			   "in lower case, without blanks and hyphens; of the USA the first five digits")
